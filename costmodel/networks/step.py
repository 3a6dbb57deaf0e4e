"""A network's training step on the tape: forward, loss, backward, optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..tape import Tape, Tensor, run_backward
from ..tape.program import CALLS, Program, Session, given
from ..tape.recording import Recording
from ..tape.rules.factories import filled
from .optimizers import Optimizer


def record_step(
    program: Program,
    tape: Tape,
    criterion: nn.Module,
    optimizer: Callable[[list[Tensor]], Optimizer],
    calls: int = CALLS,
) -> tuple[Recording, Any]:
    """Record ``loss = criterion(module(x), labels); loss.backward(); optimizer.step()`` by docs/conventions.md.

    No gradient is there before, and all are kept; the optimizer's state is there, for the parameters that get one,
    unless its first step makes it. Of so many ``calls`` the last is recorded.
    """

    def step(session: Session) -> None:
        module = session.module
        parameters = list(module.parameters())
        if not parameters:
            raise ValueError("a training step needs a network with parameters, got one without")
        labels = given(tape, program.sizes[:1], torch.int64)
        session.kept["inputs"] = [labels]
        loss = session.forward(lambda x: criterion(_scores(module(x)), labels))
        tape.phase = "backward"
        by_leaf = run_backward(loss, filled("ones_like", tape, (), loss.dtype), accumulate=True)
        pairs = [(p, by_leaf[p.edge[0]]) for p in parameters if p.edge is not None and p.edge[0] in by_leaf]
        session.gradients = [gradient for _, gradient in pairs]
        session.kept["gradients"] = session.gradients
        tape.phase, tape.part = "optimizer", "input"
        optimize = optimizer([parameter for parameter, _ in pairs])
        optimize.step(session.gradients)
        session.kept["optimizer"] = [tensor for each in optimize.state for tensor in each]

    session = Session(program, tape)
    return session.record(step, calls), session.module


def _scores(scores: Tensor) -> Tensor:
    if scores.rank != 2:
        raise ValueError(f"a training step needs a network with outputs of shape (b, classes), got {scores.sizes}")
    return scores
