"""The comparison is only as good as what it catches: planted defects, each of which must be found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import zip_longest
from random import Random
from typing import Any

import numpy as np
import pytest

from recsys.days import microseconds
from recsys.features import tiles as item_side
from recsys.features import user as user_side
from recsys.features import windows
from recsys.features.history import I64, Histories, Points
from recsys.ranking import known as known_side
from tests.features import oracle
from tests.features.logs import EVERY_KIND
from tests.features.oracle import NAMES, Event, S
from tests.parity.logs import HOUR, lines
from tests.parity.points import FEATURES, HOURS, Found, Known, moments, of_item, of_user

SMALL = FEATURES.model_copy(update={"k": 16, "bot_events_per_10m": 3, "bot_min_events": 8, "user": EVERY_KIND})
Keep = Callable[[Sequence[Event]], list[Event]]


def kept(mine: Sequence[Event], k: int = SMALL.k) -> list[Event]:
    """What a sound stream keeps of a user."""
    return oracle.state(mine, "", k)


@cache
def log() -> Known:
    """The same for all defects."""
    known = Known()
    known.add(lines("d", 5, 1500))
    return known.sort()


def compared(keep: Keep = kept) -> Iterator[Found]:
    """What differs so far from the oracle where the state is kept in this way; `mine` is in order of arrival."""
    known, found, random = log(), Found(), Random(3)
    for user, item in zip_longest(sorted(known.of_user)[:20], sorted(known.of_item)):
        if item is not None:
            of_item(found, known, item, HOURS)
        if user is not None:
            mine = known.of_user[user]
            of_user(found, mine, oracle.histories([keep(mine)]), {}, sorted(moments(mine, 32, random)), SMALL)
        yield found


def is_found(keep: Keep = kept) -> bool:
    """Whether anything differs: the first that does is enough."""
    return any(found.wrong for found in compared(keep))


def changed(change: Callable[[Event], Event]) -> Keep:
    return lambda mine: [change(e) for e in kept(mine)]


def in_order_of_arrival(mine: Sequence[Event]) -> list[Event]:
    engaged = [e for e in mine if e.behaviour in oracle.ENGAGED]
    return sorted(engaged, key=lambda e: e.time)[-SMALL.k :]


def without_late_ones(mine: Sequence[Event]) -> list[Event]:
    newest, punctual = 0, []
    for e in mine:
        if e.time >= newest:
            punctual.append(e)
        newest = max(newest, e.time)
    return kept(punctual)


def with_impressions(mine: Sequence[Event]) -> list[Event]:
    return sorted(mine, key=lambda e: (e.time, e.id))[-SMALL.k :]


STATES: dict[str, Keep] = {
    "one behaviour too few": partial(kept, k=SMALL.k - 1),
    "one behaviour too many": partial(kept, k=SMALL.k + 1),
    "the oldest instead of the newest": lambda mine: kept(mine, 10_000)[: SMALL.k],
    "ties in order of arrival": in_order_of_arrival,
    "late events dropped": without_late_ones,
    "impressions kept": with_impressions,
    "a duplicate counted": lambda mine: sorted(kept(mine) + kept(mine)[-1:], key=lambda e: e.time)[-SMALL.k :],
    "an unknown price taken for 0": changed(lambda e: replace(e, price=e.price or 0)),
    "an absent value taken for 0": changed(lambda e: replace(e, value=e.value or 0.0)),
    "quantities ignored": changed(lambda e: replace(e, quantity=1)),
    "times cut to milliseconds": changed(lambda e: replace(e, time=e.time // 1000 * 1000)),
}


def test_without_a_defect_nothing_differs() -> None:
    *_, found = compared()
    assert found.wrong == []
    assert found.points["served"] > 500
    assert found.points["items"] > 50


@pytest.mark.parametrize("keep", STATES.values(), ids=STATES)
def test_a_state_that_is_kept_wrongly_is_found(keep: Keep) -> None:
    assert is_found(keep)


def shifted(by: int) -> Callable[..., I64]:
    """`first_after`, off by so many microseconds."""
    return lambda time, start, end, moment: windows.first_after(time, start, end, moment + by)


def running(frame: user_side.Frame) -> I64:
    """A session that ends at the gap, not after it."""
    newest = user_side._newest(frame)
    open_ = frame.since(newest) < frame.s.session_gap_minutes * 60
    return np.where(open_, np.maximum(frame.session_start[newest], frame.p.start), -1)


def one_more(h: Histories, known: I64, user: I64, at: I64, k: int) -> known_side.Known:
    return as_known(h, known, user, at, k + 1)


def sample_deviation(values: Any, low: I64, high: I64) -> Any:
    with np.errstate(all="ignore"):
        return user_side._std(values, low, high) * np.sqrt((high - low) / (high - low - 1))


def known_to(by: int) -> Callable[[Histories, Points], Points]:
    return lambda h, p: replace(windows.known(h, replace(p, at=p.at + by)), at=p.at)


def unbounded(frame: item_side.Frame, above: str, below: str, prior: tuple[float, float], window: str) -> Any:
    return (frame.count(above, window) + prior[0]) / (frame.count(below, window) + prior[1])


as_known, length = known_side.as_known, microseconds
RATIO, TREND = user_side.ratio, user_side.trend
CODE: dict[str, tuple[Any, str, Any]] = {
    "a window closed at its start": (user_side, "first_after", shifted(-1)),
    "a window that begins too late": (user_side, "first_after", shifted(1)),
    "behaviours of the moment itself unseen": (user_side, "known", known_to(-1)),
    "behaviours of the next microsecond seen": (user_side, "known", known_to(1)),
    "the whole future seen": (user_side, "known", lambda h, p: p),
    "a label that sees itself": (known_side, "first_after", shifted(1)),
    "a label that sees one behaviour too many": (known_side, "as_known", one_more),
    "a session that ends at the gap": (user_side, "_running_start", running),
    "rows counted instead of items": (user_side, "distinct", lambda earlier, low, high: high - low),
    "days of 23 hours": (user_side, "microseconds", lambda w: length(w) * 23 // 24 if w.endswith("d") else length(w)),
    "a trend upside down": (user_side, "trend", lambda s, g, w, r: 1 / TREND(s, g, w, r)),
    "unknown taken for 0": (user_side, "ratio", lambda a, b: np.nan_to_num(RATIO(a, b))),
    "no user is a bot": (user_side, "is_bot", lambda h, p, s: np.zeros(len(p.at), dtype=np.bool_)),
    "an item's hour that sees itself": (item_side, "first_after", shifted(HOUR)),
    "an item's window one tile too short": (item_side, "microseconds", lambda w: length(w) - 300 * S),
    "a share without its prior": (item_side, "SHARE_PRIOR", (1e-9, 1e-9)),
    "an item's rate that may exceed 1": (item_side, "_rate", unbounded),
    "an item's ages counted from tiles": (item_side, "HOUR", 300 * S),
    "an item's trend unscaled": (item_side, "trend", lambda s, g, w, r: (s + 1) / (g + 1)),
}


@pytest.mark.parametrize(("module", "name", "planted"), CODE.values(), ids=CODE)
def test_a_computation_that_is_wrong_is_found(
    module: Any, name: str, planted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, planted)
    assert is_found()


@pytest.mark.parametrize(
    ("operation", "planted"),
    [
        ("std", sample_deviation),
        ("first", user_side.VALUES["last"]),
        ("max", user_side.VALUES["min"]),
    ],
)
def test_a_summary_that_is_wrong_is_found(operation: str, planted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(user_side.VALUES, operation, planted)
    assert is_found()


def test_every_behaviour_is_asked_about() -> None:
    assert {line.event.behaviour for line in lines("d", 5, 1500)} == set(NAMES)
