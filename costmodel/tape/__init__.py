"""The engine: torch programs run on tensors without values, and what they allocate, compute and keep is recorded.

``Tape`` holds a recording, ``Tensor`` stands for torch.Tensor, ``RULES`` says what each torch function does, ``recording``
runs a torch module on a tape. It knows no method and imports no torch before a recording runs.
"""

from .graph import run_backward as run_backward
from .graph import saved_storages as saved_storages
from .run import recording as recording
from .table import RULES as RULES
from .table import UnruledFunction as UnruledFunction
from .tape import Operation as Operation
from .tape import Storage as Storage
from .tape import Tape as Tape
from .tensor import Tensor as Tensor
