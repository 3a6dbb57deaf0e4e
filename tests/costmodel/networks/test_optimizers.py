"""An optimizer's step on the tape: its kernels and what lives while it runs, counted by hand."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest
import torch

from lipcost.costmodel import OPTIMIZERS, find_device, predict_network
from lipcost.costmodel.tape import Tape, running
from lipcost.costmodel.tape.program import given
from lipcost.costmodel.tape.run import on_host

FLOAT = 4
STATES = {"sgd": 0, "sgd-momentum": 1, "adam": 2, "adamw": 2}
SIZES = (30, 70, 50)  # elements of three parameters
TEMPORARIES = {  # of one step, in elements: by optimizer, (weight decay, foreach)
    ("sgd", False, False): 0,
    ("sgd", False, True): 0,
    ("sgd", True, False): 70,  # w's share of the gradient, one parameter after the other
    ("sgd", True, True): 150,
    ("sgd-momentum", False, False): 0,
    ("sgd-momentum", False, True): 0,
    ("sgd-momentum", True, False): 70,
    ("sgd-momentum", True, True): 150,
    ("adam", False, False): 70 + 2 * 50,  # the last parameter's denominator, √v and its quotient; 30 + 2·70 as many
    ("adam", False, True): 150,
    ("adam", True, False): 30 + 3 * 70,  # and the gradient's
    ("adam", True, True): 150,  # the gradient's are gone when √v comes
    ("adamw", False, False): 70 + 2 * 50,
    ("adamw", False, True): 150,
    ("adamw", True, False): 70 + 2 * 50,
    ("adamw", True, True): 150,
}
KERNELS = {"sgd": 1, "sgd-momentum": 3, "adam": 7, "adamw": 7}  # per parameter, and one more for weight decay


@pytest.mark.parametrize(("case", "expected"), TEMPORARIES.items(), ids=str)
def test_an_optimizer_step_by_hand(case: tuple[str, bool, bool], expected: int) -> None:
    name, weight_decay, foreach = case
    tape = Tape()
    with running(tape), on_host(tape), torch.no_grad():
        parameters = [given(tape, (n,), torch.float32).require_grad() for n in SIZES]
        for p in parameters:
            p.grad = given(tape, p.sizes, torch.float32)
        form = "foreach" if foreach else "single"
        with tape.beforehand():
            optimizer = OPTIMIZERS[name](parameters, weight_decay=weight_decay, form=form, bare=True)
            optimizer.step()
        base = (2 + STATES[name]) * sum(SIZES) * FLOAT
        assert sum(storage.nbytes for storage in tape.base) == base
        optimizer.step()
        live = list(accumulate(sign * storage.nbytes for sign, storage in tape.events))
    assert sum(live[-1:]) == 0
    assert max(live, default=0) == expected * FLOAT
    assert len(tape.operations) == (KERNELS[name] + weight_decay) * (1 if foreach else len(SIZES))
    assert sum(op.flops for op in tape.operations) == (KERNELS[name] + weight_decay) * sum(SIZES)


def test_a_gpu_updates_all_parameters_at_once() -> None:
    gpu = find_device("a100-40")
    arguments: dict[str, Any] = {"b": 2, "width": 4}
    at_once = predict_network("XS", "standard", device=gpu, **arguments)
    in_turn = predict_network("XS", "standard", **arguments)
    assert (at_once.launches_optimizer, in_turn.launches_optimizer) == (3, 3 * 2 * 27)
    forced = (predict_network("XS", "standard", device=d, foreach=not d, **arguments) for d in (gpu, None))
    assert [p.launches_optimizer for p in forced] == [3 * 2 * 27, 3]
