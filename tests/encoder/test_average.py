"""Averaged weights against the plain average of whole tables."""

from __future__ import annotations

import torch
from torch import Tensor

from recsys.encoder.average import Average

DECAY = 0.7  # reached by the step whose number n has (1 + n) / (10 + n) > 0.7: the 21st


class Walk:
    """A table [6, 3] and one other weight that take random steps; `plain` averages all of both after each step."""

    def __init__(self, seed: int) -> None:
        self.random = torch.Generator().manual_seed(seed)
        self.table, self.bias = torch.randn(6, 3, generator=self.random), torch.nn.Parameter(torch.zeros(2))
        self.average = Average(self.table, {"bias": self.bias}, DECAY)
        self.plain = self.table.clone(), self.bias.detach().clone()
        self.steps = 0

    def go(self, *rows: int) -> None:
        index = torch.tensor(rows)
        self.average.before(index)
        self.table[index] += torch.randn(len(rows), 3, generator=self.random)
        with torch.no_grad():
            self.bias.add_(torch.randn(2, generator=self.random))
        self.average.after()
        self.steps += 1
        decay = min(DECAY, (1 + self.steps) / (10 + self.steps))
        for mean, now in zip(self.plain, (self.table, self.bias.detach()), strict=True):
            mean.mul_(decay).add_(now * (1 - decay))

    def averaged(self) -> tuple[Tensor, Tensor]:
        with self.average.in_place():
            return self.table.clone(), self.bias.detach().clone()


def test_rows_that_steps_leave_out_are_averaged_exactly() -> None:
    walk = Walk(seed=1)
    for rows in ((0, 2), (2,), (5, 1), *(((n % 4),) for n in range(25)), (0, 5)):
        walk.go(*rows)
    for found, wanted in zip(walk.averaged(), walk.plain, strict=True):
        torch.testing.assert_close(found, wanted)
    assert not torch.allclose(walk.table, walk.plain[0])


def test_training_goes_on_with_its_own_weights() -> None:
    walk = Walk(seed=2)
    for n in range(8):
        walk.go(n % 3)
        before = walk.table.clone(), walk.bias.detach().clone()
        walk.averaged()
        assert torch.equal(walk.table, before[0])
        assert torch.equal(walk.bias, before[1])
    torch.testing.assert_close(walk.averaged()[0], walk.plain[0])


def test_a_copy_goes_on_where_the_state_was_taken() -> None:
    walk, other = Walk(seed=3), Walk(seed=3)
    for n in range(5):
        walk.go(n)
        other.go(n)
    fresh = Average(other.table, {"bias": other.bias}, DECAY)
    fresh.restore({name: value.clone() for name, value in walk.average.state().items()})
    other.average = fresh
    for rows in ((1, 2), (4,)):
        walk.go(*rows)
        other.go(*rows)
    for found, wanted in zip(other.averaged(), walk.averaged(), strict=True):
        assert torch.equal(found, wanted)
