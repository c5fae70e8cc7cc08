"""How far a training has come: all that changes from one epoch to the next, and what a checkpoint keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from recsys.encoder.checkpoint import Checkpoint, named, under
from recsys.encoder.model import Encoder


@dataclass(frozen=True, kw_only=True)
class EpochLog:
    """One epoch. `seconds` and `cpu_seconds` count training, not validation."""

    epoch: int  # from 1
    loss: float  # mean over targets, natural logarithm
    recall: float  # Recall@10 of the held-out items among unseen ones; NaN: nobody held out
    ndcg: float  # at 10
    coverage: float  # share of the items among the first 10 of somebody who is held out
    seconds: float
    cpu_seconds: float
    sequences: int

    @property
    def speed(self) -> float:
        """Sequences per CPU-second."""
        return self.sequences / max(self.cpu_seconds, 1e-9)


class Optimiser(Protocol):
    """What a checkpoint asks of the optimiser."""

    def state(self) -> dict[str, Tensor]:
        """All that it remembers, by name."""

    def restore(self, state: Mapping[str, Tensor], /) -> None:
        """Go on where `state` was taken."""


class Progress:
    """The model with its optimiser and random state, what each epoch gave, and the best epoch's weights so far.

    The weights that are judged and kept as the best may be others than those that training goes on with.
    """

    def __init__(self, model: Encoder, optimiser: Optimiser, rng: np.random.Generator, recall: float) -> None:
        """`recall` is what the model has to its name before the first epoch."""
        self.model, self.optimiser, self.rng, self.recall = model, optimiser, rng, recall
        self.logs: list[EpochLog] = []
        self.best = self._weights()
        self.stale = 0  # epochs since the best one

    def take(self, done: EpochLog) -> None:
        """One more epoch is done; the model has the weights that were judged."""
        self.logs.append(done)
        if not done.recall <= self.recall:  # NaN, nobody held out: the newest epoch is the best known
            self.best, self.recall, self.stale = self._weights(), done.recall, 0
        else:
            self.stale += 1

    def checkpoint(self) -> Checkpoint:
        """All of it, PyTorch's random state included."""
        tensors = named("model", self.model.state_dict()) | named("best", self.best)
        tensors |= named("optimiser", self.optimiser.state()) | named("random", _random_state(self._device))
        # As float64, which holds an undefined loss or recall as well, and counts below 2^53.
        tensors["logs"] = torch.tensor([astuple(done) for done in self.logs], dtype=torch.float64)
        tensors["recall"] = torch.tensor(self.recall, dtype=torch.float64)
        return Checkpoint(tensors, {"random": self.rng.bit_generator.state, "stale": self.stale})

    def restore(self, kept: Checkpoint) -> None:
        """Go on where `kept` was made, PyTorch's random state included."""
        self.model.load_state_dict(under("model", kept.tensors))
        self.best = {name: weight.to(self._device) for name, weight in under("best", kept.tensors).items()}
        self.optimiser.restore(under("optimiser", kept.tensors))
        self.recall = float(kept.tensors["recall"])
        names = [field.name for field in fields(EpochLog)]
        rows = (dict(zip(names, row, strict=True)) for row in kept.tensors["logs"].tolist())
        whole = ("epoch", "sequences")
        self.logs = [EpochLog(**row | {name: int(row[name]) for name in whole}) for row in rows]
        self.rng.bit_generator.state, self.stale = kept.told["random"], kept.told["stale"]
        for name, state in under("random", kept.tensors).items():
            if name == "cpu":
                torch.set_rng_state(state)
            else:
                torch.cuda.set_rng_state(state, self._device)

    @property
    def _device(self) -> torch.device:
        return self.model.items.device

    def _weights(self) -> dict[str, Tensor]:
        return {name: weight.detach().clone() for name, weight in self.model.state_dict().items()}


def _random_state(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    return states | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else states
