"""A network's training step on the tape: forward, loss, backward, optimizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..tape import Tape, Tensor
from ..tape.program import CALLS, Program, Session, autocast, given
from ..tape.recording import Recording
from ..tape.run import on_host
from .optimizers import Make


@dataclass(frozen=True)
class Step:
    """How a network is trained.

    Attributes:
        criterion: the loss, of scores and labels.
        optimizer: what makes it, of the parameters.
        first: whether the step is the first, in which the optimizer makes its state.
        accumulate: how many batches it takes, one after the other.
        autocast: the type in which forward and loss compute under torch.autocast, None for full precision.
    """

    criterion: nn.Module
    optimizer: Make
    first: bool = False
    accumulate: int = 1
    autocast: Any = None

    def record(self, program: Program, tape: Tape) -> Recording:
        """Record the step by the protocol of docs/conventions.md.

        No gradient is there before, and all are kept; the optimizer's state is there, for the parameters that get one,
        unless its first step makes it.
        """
        session = Session(program, tape)
        return session.record(self._run, 1 if self.first else CALLS)

    def _run(self, session: Session) -> None:
        tape, module = session.tape, session.module
        parameters = list(module.parameters())
        if not parameters:
            raise ValueError("a training step needs a network with parameters, got one without")
        for tensor in (session.x, *parameters):
            tensor.grad = None
        labels = given(tape, session.program.sizes[:1], torch.int64)
        session.kept["inputs"] = [labels]
        for _ in range(self.accumulate):
            loss: Any = self._loss(session, labels)
            loss.backward()
        with on_host(tape), torch.no_grad():
            tape.phase, tape.part = "optimizer", "input"
            with tape.beforehand():
                optimizer = self.optimizer(parameters)
                if not self.first:
                    optimizer.step()
            optimizer.step()
        session.gradients = [p.grad for p in parameters if p.grad is not None]
        session.kept["gradients"] = session.gradients
        session.kept["optimizer"] = [
            each for state in optimizer.state.values() for each in state.values() if type(each) is Tensor
        ]

    def _loss(self, session: Session, labels: Tensor) -> Tensor:
        session.tape.phase = "forward"

        def loss(x: Tensor) -> Any:
            with autocast(self.autocast):
                value = self.criterion(_scores(session.module(x)), labels)
                return value if self.accumulate == 1 else value / self.accumulate

        return session.forward(loss)


def _scores(scores: Tensor) -> Tensor:
    if scores.rank != 2:
        raise ValueError(f"a training step needs a network with outputs of shape (b, classes), got {scores.sizes}")
    return scores
