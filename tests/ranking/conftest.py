"""A small real encoder-like table of vectors, so that examples can be tested before and without training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from recsys.features.history import F32, I32, I64, Histories, Points


@dataclass(frozen=True)
class Numbers:
    """Item ids numbered from 1 in the given order."""

    items: tuple[str, ...]

    def index(self, ids: Sequence[str]) -> I32:
        places = {item: place + 1 for place, item in enumerate(self.items)}
        return np.asarray([places.get(item, 0) for item in ids], dtype=np.int32)


@dataclass(frozen=True)
class NewestItem:
    """A user is where the newest known item is; items lie on the axes."""

    vocabulary: Numbers

    def item_vectors(self) -> F32:
        return np.eye(len(self.vocabulary.items), dtype=np.float32)

    def soft_maximum(self, users: F32) -> F32:
        return self.level(torch.from_numpy(users @ self.item_vectors().T)).numpy()

    def level(self, cosine: Tensor) -> Tensor:
        return cosine.amax(dim=1)

    def affinity(self, h: Histories, p: Points, pair_point: I64, number: I32, newest: Sequence[int]) -> F32:
        """1000 x the behaviours looked at + the item's number."""
        length = np.minimum(p.end - p.start, np.asarray(newest)[:, None])[:, pair_point]
        return np.where(number > 0, 1000 * length + number, np.nan).astype(np.float32)

    def encode(self, h: Histories, p: Points) -> F32:
        vectors = np.zeros((len(p.at), len(self.vocabulary.items)), dtype=np.float32)
        for point, (start, end) in enumerate(zip(p.start, p.end, strict=True)):
            for row in range(start, end):
                if h.item[row] >= 0 and (number := self.vocabulary.index([h.items[h.item[row]]])[0]):
                    vectors[point] = self.item_vectors()[number - 1]
        return vectors


@pytest.fixture(scope="session")
def newest_item() -> NewestItem:
    return NewestItem(Numbers(("a", "b", "c", "d")))
