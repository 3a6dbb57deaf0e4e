"""Rules of the family recurrent beside torch itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from one_function import MODES, Case, check, predicted
from torch import Tensor, nn

DOUBLE = torch.float64
STEPS = (3, 2, 4)  # steps, batch, entries


class First(nn.Module):
    """The first that a module puts out."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]  # type: ignore[no-any-return]


class Stateful(nn.Module):
    """A network with a state of its own to begin with, all of whose results count."""

    def __init__(self, layer: nn.Module, *states: tuple[int, ...]) -> None:
        super().__init__()
        self.layer = layer
        self.states = nn.ParameterList([nn.Parameter(torch.rand(state, dtype=DOUBLE)) for state in states])

    def forward(self, x: Tensor) -> Tensor:
        states = tuple(self.states)
        out, last = self.layer(x, states if len(states) > 1 else states[0])
        return torch.cat([out, *(last if isinstance(last, tuple) else (last,))])


STATEFUL: dict[str, Callable[[], nn.Module]] = {
    "LSTM with a state": lambda: Stateful(nn.LSTM(4, 3), (1, 2, 3), (1, 2, 3)),
    "LSTM with states of two layers": lambda: Stateful(nn.LSTM(4, 3, num_layers=2), (2, 2, 3), (2, 2, 3)),
    "GRU with a state": lambda: Stateful(nn.GRU(4, 3), (1, 2, 3)),
    "RNN with a state": lambda: Stateful(nn.RNN(4, 3), (1, 2, 3)),
}


@pytest.mark.parametrize("name", STATEFUL)
def test_a_state_that_is_given(name: str) -> None:
    check(lambda: STATEFUL[name]().to(DOUBLE), Case(STATEFUL[name], STEPS, dtype=DOUBLE), "plain")


def test_what_only_onednn_knows_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gradient of torch\.lstm in float32"):
        predicted(First(nn.LSTM(4, 3)), STEPS, "train")


def test_packed_sequences_are_refused() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.GRU(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(nn.utils.rnn.pack_padded_sequence(x, torch.tensor([3, 2])))[1]  # type: ignore[no-any-return]

    with pytest.raises(ValueError, match="no rule for"):
        predicted(Packed(), STEPS, "train")


NETWORKS: dict[str, tuple[Any, tuple[int, ...], dict[str, Any], tuple[str, ...], torch.dtype]] = {}


def network(
    name: str, of: Any, shape: tuple[int, ...] = STEPS, modes: Any = MODES, dtype: Any = DOUBLE, **how: Any
) -> None:
    NETWORKS[name] = of, shape, how, modes, dtype


for _bias in (True, False):
    _name = "" if _bias else " without bias"
    network(f"LSTMCell{_name}", nn.LSTMCell, (2, 4), bias=_bias)
    network(f"GRUCell{_name}", nn.GRUCell, (2, 4), bias=_bias)
    network(f"RNNCell{_name}", nn.RNNCell, (2, 4), bias=_bias)
    network(f"LSTM{_name}", nn.LSTM, bias=_bias)
    network(f"GRU{_name}", nn.GRU, bias=_bias)
    network(f"RNN{_name}", nn.RNN, bias=_bias)
    network(f"LSTM of floats{_name}", nn.LSTM, modes=("inference",), dtype=torch.float32, bias=_bias)
network("LSTMCell of floats", nn.LSTMCell, (2, 4), dtype=torch.float32)
network("GRU of floats", nn.GRU, dtype=torch.float32)
network("RNNCell of relu", nn.RNNCell, (2, 4), nonlinearity="relu")
network("RNN of relu", nn.RNN, nonlinearity="relu")
network("LSTMCell of a vector", nn.LSTMCell, (4,))
for _of in (nn.LSTM, nn.GRU, nn.RNN):
    _modes, _n = MODES, _of.__name__
    network(f"{_n} of two layers", _of, num_layers=2)
    network(f"{_n} of two layers with dropout", _of, num_layers=2, dropout=0.5)
    network(f"{_n} both ways", _of, bidirectional=True)
    network(f"{_n} of two layers both ways", _of, num_layers=2, bidirectional=True, batch_first=True)
    network(f"{_n}, batch first", _of, batch_first=True)
    network(f"{_n} of one sequence", _of, (3, 4))
network("LSTM with a projection", nn.LSTM, proj_size=2)
network("LSTM with a projection of floats", nn.LSTM, dtype=torch.float32, proj_size=2)
for _name, _how in {"of two layers": {"num_layers": 2, "dropout": 0.5}, "both ways": {"bidirectional": True},
                    "both ways without bias": {"bidirectional": True, "num_layers": 2, "bias": False},
                    "batch first": {"batch_first": True, "num_layers": 2, "bidirectional": True}}.items():  # fmt: skip
    network(f"LSTM of floats {_name}", nn.LSTM, modes=("inference",), dtype=torch.float32, **_how)


def built(of: Any, how: dict[str, Any], dtype: torch.dtype) -> nn.Module:
    layer = of(4, 3, **how).to(dtype)
    return layer if of in (nn.GRUCell, nn.RNNCell) else First(layer)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("layout", ["plain", "t"])
def test_a_network_is_what_torch_does(name: str, layout: str) -> None:
    of, shape, how, modes, dtype = NETWORKS[name]
    if len(shape) == 1:
        layout = "plain"
    check(lambda: built(of, how, dtype), Case(of, shape, dtype=dtype, modes=modes), layout)
