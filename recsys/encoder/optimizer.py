"""Adam for a table of which a batch touches few rows.

Source: Kingma and Ba 2015, algorithm 1; its sparse form is that of PyTorch's SparseAdam.

Shape letters: R rows touched by a batch, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class RowAdam:
    """Moments and values of a row change only in the steps that touch it, so a step costs O(R D) for any table."""

    def __init__(self, table: Tensor, lr: float, betas: tuple[float, float], eps: float = 1e-8) -> None:
        self.table, self.lr, self.betas, self.eps = table, lr, betas, eps
        self.mean, self.square = torch.zeros_like(table), torch.zeros_like(table)
        self.steps = 0

    def state(self) -> dict[str, Tensor]:
        """Both moments [V, D] and the number of steps."""
        return {"mean": self.mean, "square": self.square, "steps": torch.tensor(self.steps)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on where `state` was taken; the table is the caller's to restore."""
        self.mean.copy_(state["mean"])
        self.square.copy_(state["square"])
        self.steps = int(state["steps"])

    def step(self, rows: Tensor, grad: Tensor) -> None:
        """One step for `rows` [R], distinct, with their gradient `grad` [R, D]."""
        first, second = self.betas
        self.steps += 1
        mean = self.mean[rows].lerp_(grad, 1 - first)
        square = self.square[rows].mul_(second).addcmul_(grad, grad, value=1 - second)
        self.mean[rows], self.square[rows] = mean, square
        rate = self.lr * (1 - second**self.steps) ** 0.5 / (1 - first**self.steps)
        self.table[rows] = self.table[rows].addcdiv_(mean, square.sqrt_().add_(self.eps), value=-rate)
