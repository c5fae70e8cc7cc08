"""Reasons, each worked by hand: items on a circle, 30 degrees apart."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.candidates.ragged import Ragged
from recsys.config import TopNSettings
from recsys.features.history import Histories
from recsys.topn.index import build_index
from recsys.topn.reasons import CLOSE, NEWEST, POPULAR, TEMPLATES, reasons
from tests.topn.test_recommend import BEHAVIOURS, ITEMS, Circle, histories, snapshot


def said(h: Histories, recommended: list[list[int]], near: list[bool]) -> list[str]:
    index = build_index(Circle(), snapshot(), TopNSettings())
    seen = np.append(index.rows(h.items), -1)[h.item]
    offsets = np.cumsum([0, *map(len, recommended)]).astype(np.int64)
    items = Ragged(offsets=offsets, values=np.asarray([i for row in recommended for i in row], dtype=np.int64))
    found: list[str] = reasons(h, seen, items, np.asarray(near, dtype=np.bool_), index, BEHAVIOURS).to_pylist()
    return found


def test_the_nearest_behaviour_is_named_and_of_equals_the_newest() -> None:
    h = histories([("view", "i0"), ("purchase", "i0"), ("view", "i4")])
    # i1 is 30 degrees from i0 and 90 from i4, i3 the other way round. i0 was bought after it was viewed.
    assert said(h, [[1, 3]], [True] * 2) == ["because you bought Zero", "because you viewed Four"]


def test_each_user_is_answered_from_the_own_history() -> None:
    h = histories([("view", "i0")], [], [("purchase", "i3")])
    assert said(h, [[1], [5], [1, 2]], [True, False, True, True]) == [
        "because you viewed Zero",
        "popular in the last day",
        "because you bought Three",
        "because you bought Three",
    ]


def test_only_items_that_neighbours_proposed_speak_of_behaviour() -> None:
    h = histories([("view", "i0")])
    # i1 has a count of the day, i7 one of the week only, i0 none at all.
    assert said(h, [[1, 7, 0]], [False] * 3) == [POPULAR[1], POPULAR[2], POPULAR[3]]
    assert POPULAR[0] == "popular in the last hour"
    assert POPULAR[1:] == ("popular in the last day", "popular in the last week", "in the catalogue")


def test_behaviours_without_a_known_item_are_passed_over() -> None:
    h = histories([("view", "i0"), ("search", ""), ("view", "elsewhere")], [("search", "")])
    assert said(h, [[1], [1]], [True, True]) == ["because you viewed Zero", CLOSE]


def test_only_the_newest_behaviours_are_named() -> None:
    first = ("view", "i1")
    within = histories([first, *[("view", "i4")] * (NEWEST - 1)])
    beyond = histories([first, *[("view", "i4")] * NEWEST])
    assert said(within, [[0]], [True]) == ["because you viewed One"]
    assert said(beyond, [[0]], [True]) == ["because you viewed Four"]


@pytest.mark.parametrize("behaviour", [*BEHAVIOURS, "unheard of"])
def test_every_behaviour_has_words(behaviour: str) -> None:
    (found,) = said(histories([(behaviour, "i0")]), [[1]], [True])
    known = behaviour if behaviour in BEHAVIOURS else "behaviour"
    assert found == TEMPLATES.get(known, f"because of your {known} of {{}}").format("Zero")


def test_an_item_without_a_title_is_named_by_its_id() -> None:
    assert said(histories([("view", "i2")]), [[1]], [True]) == ["because you viewed i2"]
    assert ITEMS[2] == "i2"


def test_nobody_and_nothing_need_no_reason() -> None:
    assert said(histories(), [], []) == []
    assert said(histories([("view", "i0")]), [[]], []) == []
