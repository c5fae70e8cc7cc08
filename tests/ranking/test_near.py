"""Vocabulary a, b, c, d on the axes; a user's vector is the axis of the newest known item."""

import numpy as np

from recsys.candidates.ragged import Ragged
from recsys.features.history import I64, Histories, Points
from recsys.ranking.assemble import Encoder
from recsys.ranking.near import near_items


def ints(*values: int) -> I64:
    return np.asarray(values, dtype=np.int64)


HISTORY = Histories(  # user 0: b at 1, x at 2, c at 2; user 1: nothing
    offsets=ints(0, 3, 3),
    time=ints(1, 2, 2),
    behaviour=np.zeros(3, dtype=np.int8),
    item=np.asarray([1, 0, 2], dtype=np.int32),
    price=ints(-1, -1, -1),
    quantity=ints(1, 1, 1),
    value=np.full(3, np.nan),
    items=("x", "b", "c", "d"),
)


def drawn(points: Points, until: I64, used: Ragged, encoder: Encoder, depth: int, count: int) -> list[list[int]]:
    draw = np.arange(len(points.at), dtype=np.int64) * 7_919
    found: list[list[int]] = near_items(
        HISTORY, points, (points.start, until), used, encoder, draw, depth, count
    ).items.tolist()
    return found


def test_what_was_met_or_used_is_never_drawn(newest_item: Encoder) -> None:
    points = Points(start=ints(0, 3), end=ints(1, 3), at=ints(2, 9))
    nothing = Ragged(offsets=ints(0, 0, 0), values=ints())
    first, second = drawn(points, ints(1, 3), nothing, newest_item, 4, 4)
    assert sorted(first) == [-1, 0, 2, 3]  # b was met
    assert second == [-1] * 4  # no history, no vector
    first, _ = drawn(points, ints(3, 3), nothing, newest_item, 4, 4)
    assert sorted(first) == [-1, -1, 0, 3]  # c lies at the request's moment
    used = Ragged(offsets=ints(0, 2, 2), values=ints(3, -1))
    assert sorted(drawn(points, ints(3, 3), used, newest_item, 4, 4)[0]) == [-1, -1, -1, 0]


def test_draws_are_spread_over_the_depth_and_repeatable(newest_item: Encoder) -> None:
    many = 3000
    points = Points(start=np.zeros(many, np.int64), end=np.ones(many, np.int64), at=np.full(many, 2))
    nothing = Ragged(offsets=np.zeros(many + 1, np.int64), values=ints())
    once = drawn(points, points.end, nothing, newest_item, 4, 1)
    shares = np.bincount(np.ravel(once), minlength=4) / many  # a, c and d alike
    assert shares[1] == 0
    assert np.abs(shares[[0, 2, 3]] - 1 / 3).max() < 4 * (2 / 9 / many) ** 0.5
    assert once == drawn(points, points.end, nothing, newest_item, 4, 1)
    assert {item for row in drawn(points, points.end, nothing, newest_item, 2, 4) for item in row} == {0, 2}


def test_chances_count_what_could_have_been_drawn(newest_item: Encoder) -> None:
    """Request 0 is where b is and has met it: two of a, c, d can be drawn. Request 1 has no vector."""
    points = Points(start=ints(0, 3), end=ints(1, 3), at=ints(2, 9))
    nothing = Ragged(offsets=ints(0, 0, 0), values=ints())
    near = near_items(HISTORY, points, (points.start, points.end), nothing, newest_item, ints(1, 2), 4, 2)
    asked = np.asarray([1, 2, 4, 0, 1], dtype=np.int32)  # a, b, d, unknown, a
    chance = near.chance(ints(0, 0, 0, 0, 1), asked, newest_item.item_vectors())
    assert chance.tolist() == [2 / 3, 2 / 3, 2 / 3, 0, 0]  # b itself would be as near, had it not been met
    nearest = near_items(HISTORY, points, (points.start, ints(0, 3)), nothing, newest_item, ints(1, 2), 1, 1)
    assert nearest.chance(ints(0, 0), asked[:2], newest_item.item_vectors()).tolist() == [0, 1]
