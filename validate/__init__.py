"""The validator: FLOPs and memory measured, Lipschitz constants proved or measured, without a look at any formula."""

from .flops import FlopMeasurement as FlopMeasurement
from .flops import measure_flops as measure_flops
from .lipschitz import excess as excess
from .lipschitz import lipschitz_upper_bound as lipschitz_upper_bound
from .lipschitz import pair_ratio as pair_ratio
from .lipschitz import singular_values as singular_values
from .memory import MemoryMeasurement as MemoryMeasurement
from .memory import measure_memory as measure_memory
from .step import StepMeasurement as StepMeasurement
from .step import measure_step as measure_step
