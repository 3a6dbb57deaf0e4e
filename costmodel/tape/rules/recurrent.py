"""Rules of recurrent networks: cells, and layers of them step by step.

With letters: n steps, b batch, i entries of an input, h of a hidden state. A cell of k gates takes b·k·h·(i + h) MACs,
a layer n times as many. Source: aten/src/ATen/native/RNN.cpp and mkldnn/RNN.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from ..errors import refused
from ..graph import attach
from ..sizes import quotient
from ..table import rule
from ..tensor import Tensor
from .activations import relu, tanh
from .arithmetic import add_
from .copies import clone, contiguous
from .factories import filled
from .inplace import changed
from .joining import cat, split, stack, unbind
from .kernels import in_place, pointwise
from .linalg import linear, matmul
from .pointwise import add, mul, sub
from .random import dropout
from .views import t, transpose

Hidden = Any  # a state (b, h), or two of them: LSTM's output and its cell
Step = Callable[[Tensor, Hidden, "Weights", bool], Hidden]


class Weights(NamedTuple):
    """Of one cell: for its input, for its state, their biases, and LSTM's projection of what it puts out."""

    of_input: Tensor
    of_state: Tensor
    input_bias: Tensor | None = None
    state_bias: Tensor | None = None
    projection: Tensor | None = None

    def of(self, x: Tensor, computed: bool) -> Tensor:
        """What an input puts into the gates, which may have been computed for all steps at once."""
        return x if computed else linear(x, self.of_input, self.input_bias)


def _gates(x: Tensor, count: int) -> list[Tensor]:
    """Parts of one tensor, which torch does not take for views: they are changed in place."""
    return [part.unsafe() for part in split(x, quotient(x.sizes[1], count), 1)]


def _times_(x: Tensor, y: Tensor) -> Tensor:
    """x · y in the place of x, whose former elements are kept where y needs a gradient."""
    recorded = torch.is_grad_enabled() and (x.requires_grad or y.requires_grad)
    before = clone(x.alias()) if recorded and y.requires_grad else None
    in_place("mul_", x, y)

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
        before, y = saved
        of_y = None if before is None else mul(g, before)
        return [None if y is None else mul(g, y), of_y]

    attach([x], [x, y], [before, y if x.requires_grad else None], backward)
    return x


def _over(name: str, x: Tensor) -> Tensor:
    """A function of x in its place, whose gradient is a kernel of its values."""
    return changed(x, [], f"{name}_", lambda saved, g: [pointwise(f"{name}_backward", g, saved[0])], [x])


def _lstm_step(x: Tensor, hidden: Hidden, weights: Weights, computed: bool) -> Hidden:
    state, cell = hidden
    gates = add_(linear(state, weights.of_state, weights.state_bias), weights.of(x, computed))
    ingate, forget, candidate, outgate = _gates(gates, 4)
    del gates
    ingate, forget = _over("sigmoid", ingate), _over("sigmoid", forget)
    candidate, outgate = _over("tanh", candidate), _over("sigmoid", outgate)
    kept = mul(forget, cell)
    cell = add_(kept, mul(ingate, candidate))
    state = mul(outgate, tanh(cell))
    if weights.projection is not None:
        state = matmul(state, t(weights.projection))
    return state, cell


def _gru_step(x: Tensor, hidden: Hidden, weights: Weights, computed: bool) -> Hidden:
    of_input = _gates(weights.of(x, computed), 3)
    of_state = _gates(linear(hidden, weights.of_state, weights.state_bias), 3)
    reset = _over("sigmoid", add_(of_state[0], of_input[0]))
    gate = _over("sigmoid", add_(of_state[1], of_input[1]))
    new = _over("tanh", add(of_input[2], _times_(of_state[2], reset)))
    return add_(_times_(sub(hidden, new), gate), new)


def _simple_step(nonlinearity: Callable[[Tensor], Tensor]) -> Step:
    def step(x: Tensor, hidden: Hidden, weights: Weights, computed: bool) -> Hidden:
        of_state = linear(hidden, weights.of_state, weights.state_bias)
        of_input = weights.of(x, computed)  # both are there until the expression's end
        return nonlinearity(add_(of_state, of_input))

    return step


STEPS: dict[str, Step] = {
    "lstm": _lstm_step,
    "gru": _gru_step,
    "rnn_tanh": _simple_step(tanh),
    "rnn_relu": _simple_step(relu),
}


# Cells.


def _cell(name: str) -> None:
    step = STEPS[name]

    @rule(f"torch.{name}_cell")
    def cell(x: Tensor, hx: Hidden, *weights: Tensor | None) -> Hidden:
        return step(x, tuple(hx) if isinstance(hx, list) else hx, Weights(*weights), False)  # type: ignore[arg-type]


# Layers.


class Layers(NamedTuple):
    """How a network is made of cells, as torch.nn hands it on."""

    has_biases: bool
    num_layers: int
    dropout: float
    train: bool
    bidirectional: bool
    batch_first: bool

    def weights(self, given: Sequence[Tensor], projected: bool = False) -> list[Weights]:
        """Of each cell, those of a layer's second direction behind the first's."""
        count = 2 + 2 * self.has_biases + projected
        cells = [list(given[i : i + count]) for i in range(0, len(given), count)]
        if projected and not self.has_biases:
            return [Weights(cell[0], cell[1], projection=cell[2]) for cell in cells]
        return [Weights(*cell) for cell in cells]


def _layers(step: Step, x: Tensor, hidden: Sequence[Hidden], weights: Sequence[Weights], how: Layers) -> Any:
    """The output (n, b, h) of the last layer, and the last state of each cell."""
    final: list[Hidden] = []
    directions = 1 + how.bidirectional
    for layer in range(how.num_layers):
        own = slice(layer * directions, (layer + 1) * directions)
        x, last = (_both_ways if how.bidirectional else _one_way)(step, x, hidden[own], weights[own])
        final.extend(last)
        del last
        if how.dropout and how.train and layer < how.num_layers - 1:
            x = dropout(x, how.dropout)
    return x, final


def _one_way(
    step: Step, x: Tensor, hidden: Sequence[Hidden], weights: Sequence[Weights]
) -> tuple[Tensor, list[Hidden]]:
    """A layer whose inputs go through its weights at once."""
    computed = linear(x, weights[0].of_input, weights[0].input_bias)
    outputs, last = _steps(step, unbind(computed, 0), hidden[0], weights[0])
    return stack(outputs, 0), [last]


def _both_ways(
    step: Step, x: Tensor, hidden: Sequence[Hidden], weights: Sequence[Weights]
) -> tuple[Tensor, list[Hidden]]:
    """A layer with a second one that goes backwards; what the first computed goes when the second's is there."""
    first, second = weights
    computed = linear(x, first.of_input, first.input_bias)
    inputs = unbind(computed, 0)
    outputs, last = _steps(step, inputs, hidden[0], first)
    forth = stack(outputs, 0)
    computed = linear(x, second.of_input, second.input_bias)
    inputs = unbind(computed, 0)
    outputs_back, last_back = _steps(step, inputs[::-1], hidden[1], second)
    back = stack(outputs_back[::-1], 0)
    return cat([forth, back], forth.rank - 1), [last, last_back]


def _steps(step: Step, inputs: Sequence[Tensor], hidden: Hidden, weights: Weights) -> tuple[list[Tensor], Hidden]:
    outputs = []
    for each in inputs:
        hidden = step(each, hidden, weights, True)
        outputs.append(hidden[0] if isinstance(hidden, tuple) else hidden)
    return outputs, hidden


def _network(name: str) -> None:
    @rule(f"torch.{name}")
    def network(x: Tensor, hx: Tensor, params: Any, *rest: Any) -> tuple[Tensor, Tensor]:
        if not isinstance(params, (list, tuple)):
            raise refused(f"torch.{name} of packed sequences")
        how = Layers(*rest)
        x = transpose(x, 0, 1) if how.batch_first else x
        out, final = _layers(STEPS[name], x, unbind(hx, 0), how.weights(params), how)
        last = stack(final, 0)
        return (transpose(out, 0, 1) if how.batch_first else out), last


for _name in ("rnn_tanh", "rnn_relu", "gru"):
    _cell(_name)
    _network(_name)
_cell("lstm")


@rule("torch.lstm")
def lstm(x: Tensor, hx: Any, params: Any, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Step by step; by oneDNN's kernels where these take it, whose backward keeps a workspace that they alone know."""
    if not isinstance(params, (list, tuple)):
        raise refused("torch.lstm of packed sequences")
    how = Layers(*rest)
    states, cells = hx
    projected = states.sizes[2] != cells.sizes[2]
    if not projected and _has_kernels(x):
        return _in_kernels(x, states, cells, how.weights(params), how)
    x = transpose(x, 0, 1) if how.batch_first else x
    of_states, of_cells = unbind(states, 0), unbind(cells, 0)
    hidden = list(zip(of_states, of_cells, strict=True))
    out, final = _layers(_lstm_step, x, hidden, how.weights(params, projected), how)
    last = stack([state for state, _ in final], 0), stack([cell for _, cell in final], 0)
    return (transpose(out, 0, 1) if how.batch_first else out), *last


def _has_kernels(x: Tensor) -> bool:
    """Whether oneDNN runs an LSTM of this type."""
    backend: Any = torch.backends.mkldnn
    return bool(backend.is_available() and torch._C._get_mkldnn_enabled() and x.dtype is torch.float32)


def _in_kernels(
    x: Tensor, states: Tensor, cells: Tensor, weights: Sequence[Weights], how: Layers
) -> tuple[Tensor, Tensor, Tensor]:
    """One kernel for each direction of each layer."""
    if torch.is_grad_enabled():
        raise refused("the gradient of torch.lstm in float32: oneDNN alone knows the size of what its kernel keeps")
    given = x = contiguous(transpose(x, 0, 1) if how.batch_first else x)
    states_of, cells_of = unbind(states, 0), unbind(cells, 0)
    last: list[tuple[Tensor, Tensor]] = []
    directions = 1 + how.bidirectional
    outputs: list[Any] = [None] * directions  # each is there until the next layer's
    for place, own in enumerate(weights):
        layer, direction = divmod(place, directions)
        outputs[direction], state, cell = _kernel(x, own, states_of[place], cells_of[place])
        last.append((state, cell))
        if direction < directions - 1:
            continue
        x = cat(outputs, 2) if how.bidirectional else outputs[0]
        if how.dropout and how.train and layer < how.num_layers - 1:
            x = dropout(x, how.dropout)
    of_all = stack([state for state, _ in last], 0), stack([cell for _, cell in last], 0)
    del given
    return (transpose(x, 0, 1) if how.batch_first else x), *of_all


def _kernel(x: Tensor, weights: Weights, state: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """oneDNN's LSTM: the output of each step, and the last state and cell."""
    (n, b, entries), h = x.sizes, weights.of_state.sizes[1]
    biases = [weights.input_bias, weights.state_bias]
    if weights.input_bias is None:
        biases = [filled("zeros", x.tape, each.sizes, x.dtype) for each in (weights.of_state, weights.of_input)]
    out = x.new((n, b, h)), x.new((b, h)), x.new((b, h))
    read = [x, weights.of_input, weights.of_state, *biases, state, cell]
    x.tape.kernel("mkldnn_rnn_layer", "matmul", [*read, *out], macs=n * b * 4 * h * (entries + h))
    return out
