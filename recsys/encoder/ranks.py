"""Several processes that train one model: what each works on, and what they tell each other.

All hold the same weights and the same random state and draw the same batches. Each works on its own windows of a batch;
gradients are summed. So one process or several, a training is the same but for the order of floating-point sums.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from recsys.errors import TrainingError
from recsys.features.history import I64

PATIENCE = timedelta(hours=1)  # for the first process, which alone validates and writes checkpoints; a death is told


@dataclass(frozen=True)
class Ranks:
    """This process among `world` ones, numbered from 0. One alone tells nobody anything."""

    rank: int = 0
    world: int = 1
    device: str = "cpu"  # where what they tell each other lies

    def mine(self, size: int) -> I64:
        """This process's rows of `size`, ascending; all of them where there are fewer rows than processes."""
        return np.arange(size) if size < self.world else np.arange(self.rank, size, self.world)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Put the sum over all processes into each of the `tensors`, which have one type, with one message."""
        if self.world == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def follow(self, tensor: Tensor) -> None:
        """Put the first process's values into `tensor`."""
        if self.world > 1:
            dist.broadcast(tensor, 0)

    def agree(self, what: str, found: str) -> None:
        """TrainingError unless all processes have `found` the same; `what` says in the error what differs."""
        if self.world == 1:
            return
        mark = int.from_bytes(hashlib.sha256(found.encode()).digest()[:7], "big")
        ends = torch.tensor([mark, -mark], device=self.device)
        dist.all_reduce(ends, dist.ReduceOp.MAX)  # the largest mark, and the smallest one's negative
        if int(ends[0]) != -int(ends[1]):
            raise TrainingError(
                f"the {self.world} processes of the training differ in {what}; process {self.rank} has {found}."
                " Give all machines the same version of this package and of PyTorch, and one file system for artifacts."
            )


ALONE = Ranks()


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """This process among those that torchrun started, as its variables tell (RANK, WORLD_SIZE, MASTER_ADDR, …).

    They speak by gloo, or where they train on GPUs by NCCL. A process that fails leaves without a word: the others'
    connections to it break.
    """
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    yield Ranks(dist.get_rank(), dist.get_world_size(), device.type)
    dist.destroy_process_group()
