"""The validator: FLOPs and memory measured, Lipschitz constants proved or measured, without a look at any formula."""

from .measure.flops import FlopMeasurement as FlopMeasurement
from .measure.flops import measure_flops as measure_flops
from .measure.lipschitz import excess as excess
from .measure.lipschitz import lipschitz_upper_bound as lipschitz_upper_bound
from .measure.lipschitz import pair_ratio as pair_ratio
from .measure.lipschitz import singular_values as singular_values
from .measure.memory import MemoryMeasurement as MemoryMeasurement
from .measure.memory import measure_memory as measure_memory
from .measure.step import StepMeasurement as StepMeasurement
from .measure.step import measure_step as measure_step
