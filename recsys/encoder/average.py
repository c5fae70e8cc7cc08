"""A moving average of a training's weights: flatter and better than the weights themselves while the rate stays high.

Sources: averaged iterates, Polyak and Juditsky 1992; as a decayed average of a network's weights, Tarvainen and Valpola
2017 (Mean Teacher), section 2; a decay that grows at the start, TensorFlow's ExponentialMovingAverage.

Shape letters: V items, D width, R rows touched by a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

START = 10  # the decay of step n is at most (1 + n) / (START + n): the first steps are soon forgotten


class Average:
    """The average of all weights after each step, each step's with `decay` times the weight of the next one's.

    Of the item table [V, D] only the rows that a step touches are brought up to date, exactly: between two steps that
    touch it a row stays, so its average fades towards it by the product of the decays since.
    """

    def __init__(self, table: Tensor, rest: Mapping[str, Tensor], decay: float) -> None:
        self.table, self.rest, self.decay = table, rest, decay
        self.mean = table.clone()  # [V, D] as of the step in `seen`
        self.seen = torch.zeros(len(table), dtype=torch.float64, device=table.device)  # [V] `faded` back then
        self.others = {name: weight.detach().clone() for name, weight in rest.items()}
        self.steps, self.faded = 0, 0.0  # steps so far; the logarithm of the product of their decays

    def before(self, rows: Tensor) -> None:
        """Take in what `rows` [R] of the table have been since their last step; to be called before the next one."""
        since = (self.faded - self.seen[rows]).exp_().to(self.mean.dtype)[:, None]  # [R, 1]
        self.mean[rows] = torch.lerp(self.table[rows], self.mean[rows], since)
        self.seen[rows] = self.faded

    def after(self) -> None:
        """A step is done."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (START + self.steps))
        self.faded += math.log(decay)
        for name, weight in self.rest.items():
            self.others[name].lerp_(weight.detach(), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The weights are their averages until the end of the block."""
        self.before(torch.arange(len(self.table), device=self.table.device))
        own = self.table.clone(), {name: weight.detach().clone() for name, weight in self.rest.items()}
        self._put(self.mean, self.others)
        try:
            yield
        finally:
            self._put(*own)

    def state(self) -> dict[str, Tensor]:
        """All that it remembers, by name."""
        steps, faded = torch.tensor(self.steps), torch.tensor(self.faded, dtype=torch.float64)
        return {"table": self.mean, "seen": self.seen, "steps": steps, "faded": faded} | {
            f"rest.{name}": mean for name, mean in self.others.items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on where `state` was taken; the weights are the caller's to restore."""
        self.mean.copy_(state["table"])
        self.seen.copy_(state["seen"])
        self.steps, self.faded = int(state["steps"]), float(state["faded"])
        for name, mean in self.others.items():
            mean.copy_(state[f"rest.{name}"])

    def _put(self, table: Tensor, rest: Mapping[str, Tensor]) -> None:
        self.table.copy_(table)
        with torch.no_grad():
            for name, weight in self.rest.items():
                weight.copy_(rest[name])
