from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.features.definitions import LAST
from recsys.features.embedded import embedded
from recsys.features.history import F32, I32, I64, Histories, Points
from tests.features import oracle


@dataclass(frozen=True)
class Told:
    """An affinity tells what it was asked."""

    def soft_maximum(self, users: F32) -> F32:
        raise NotImplementedError  # the caller has it

    def affinity(self, h: Histories, p: Points, pair_point: I64, number: I32, newest: Sequence[int]) -> F32:
        return (np.asarray(newest)[:, None] + 100 * pair_point + 1000 * number).astype(np.float32)


def test_every_pair_gets_its_own_point_and_the_newest_behaviours_are_looked_at_alone() -> None:
    points = Points(start=np.asarray([0, 12]), end=np.asarray([12, 40]), at=np.asarray([9, 9]))
    cosine = np.asarray([0.5, np.nan, 0.75], dtype=np.float32)
    ask = (np.asarray([0, 0, 1]), np.asarray([1, 0, 2], dtype=np.int32), cosine)
    found = embedded(Told(), oracle.histories([]), points, np.asarray([0.25, 0.5], np.float32), *ask)
    assert found.similarity is cosine
    np.testing.assert_array_equal(found.lead, np.asarray([0.25, np.nan, 0.25], dtype=np.float32))
    assert found.affinity.tolist() == [1028, 28, 2128]  # the longest history has 28 behaviours
    assert found.affinity_last.tolist() == [1000 + LAST, LAST, 2100 + LAST]
