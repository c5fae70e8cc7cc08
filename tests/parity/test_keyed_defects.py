"""Planted defects in lists, maps and counts by key: each must be found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

import numpy as np
import pytest

from recsys.features import keyed as side
from recsys.features.history import Histories, Points
from recsys.features.keyed import Groups, Keyed, Texts
from recsys.features.worded import of_user
from tests.features import oracle
from tests.features.declared import declared
from tests.features.logs import KEYED
from tests.features.oracle import NAMES, Event
from tests.parity.logs import lines
from tests.parity.points import Found, Known, moments
from tests.parity.test_defects import SMALL, known_to, shifted

FEATURES = tuple(map(of_user, KEYED))


@cache
def log() -> Known:
    """The same for all defects."""
    known = Known()
    known.add(lines("k", 5, 900))
    return known


def compared(change: Callable[[Event], Event] = lambda e: e) -> Iterator[Found]:
    """What differs so far from the oracle where each behaviour of the state is changed in this way."""
    known, found, random = log(), Found(), Random(3)
    for user in sorted(known.of_user)[:10]:
        recent = oracle.state(known.of_user[user], "", SMALL.k)
        stored = [[change(e) for e in recent]]
        compare(found, recent, stored, sorted(moments(known.of_user[user], 16, random)))
        yield found


def is_found(change: Callable[[Event], Event] = lambda e: e) -> bool:
    """Whether anything differs: the first that does is enough."""
    return any(found.wrong for found in compared(change))


def compare(found: Found, recent: Sequence[Event], stored: list[list[Event]], asked: Sequence[int]) -> None:
    at = np.asarray(asked, dtype=np.int64)
    p = Points(start=np.zeros(len(at), np.int64), end=np.full(len(at), len(recent)), at=at)
    values = side.keyed_features(oracle.histories(stored), p, NAMES, FEATURES, oracle.texts(stored))
    told = {name: array.to_pylist() for name, array in values.items()}
    for place, t in enumerate(asked):
        seen = [e for e in recent if e.time <= t]
        wanted = {f.name: declared(seen, t, one) for f, one in zip(FEATURES, KEYED, strict=True)}
        found.compare("keyed", {name: told[name][place] for name in wanted}, wanted, t)


def test_without_a_defect_nothing_differs() -> None:
    *_, found = compared()
    assert found.wrong == []
    assert found.values > 2000


@pytest.mark.parametrize(
    "change",
    [
        lambda e: replace(e, query=e.query and e.query.title()),
        lambda e: replace(e, category=e.category and e.category[0]),
        lambda e: replace(e, category=e.category or "unknown"),
        lambda e: replace(e, price=e.price or 0),
    ],
    ids=["case kept", "a category cut", "no category is one", "an unknown price taken for 0"],
)
def test_a_state_that_is_kept_wrongly_is_found(change: Callable[[Event], Event]) -> None:
    assert is_found(change)


GROUPS, FIRST, KEY = side.groups, Groups.first, side.keyed


def by_name(found: Keyed, *rest: Any) -> Groups:
    """Equal counts in the order of the names."""
    made = GROUPS(found, *rest)
    owner = np.repeat(np.arange(len(made.offsets) - 1), np.diff(made.offsets))
    names = np.asarray(found.names.to_pylist(), dtype=np.str_)[made.code]
    order = np.lexsort((names, -made.count, owner))
    total = made.total[order] if len(made.total) else made.total
    return replace(made, code=made.code[order], count=made.count[order], total=total)


def whole_queries(h: Histories, key: str, behaviours: tuple[str, ...], texts: Texts) -> Keyed:
    """Words that are not split."""
    return KEY(h, "query" if key == "term" else key, behaviours, texts)


@pytest.mark.parametrize(
    ("module", "name", "planted"),
    [
        (side, "first_after", shifted(-1)),
        (side, "first_after", shifted(1)),
        (side, "known", known_to(1)),
        (side, "known", lambda h, p: p),
        (side, "groups", by_name),
        (Groups, "first", lambda groups, k: FIRST(groups, k + 1)),
        (side, "of_behaviour", lambda found, h, behaviours, of: found),
        (side, "distinct", lambda earlier, low, high: high - low),
        (side, "keyed", whole_queries),
    ],
    ids=[
        "a window closed at its start",
        "a window that begins too late",
        "the next microsecond seen",
        "the whole future seen",
        "ties by name",
        "one entry too many",
        "every behaviour listed",
        "occurrences counted instead of keys",
        "words not split",
    ],
)
def test_a_computation_that_is_wrong_is_found(
    module: Any, name: str, planted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, planted)
    assert is_found()
