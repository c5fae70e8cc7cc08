"""What candidates attend to: by hand, against plain Python, and the same in training and at serving."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as rounds
from hypothesis import strategies as st

from recsys.config import FeatureSettings, TopNSettings
from recsys.errors import BundleError
from recsys.features.definitions import ITEM_FEATURES, feature_names
from recsys.features.history import F32, I32, I64, Histories, Points, at_end
from recsys.features.item import ItemSnapshot
from recsys.ranking.assemble import Requests, features
from recsys.ranking.recent import COLUMNS, Recent, recent_of
from recsys.topn.recommend import recommend
from tests.ranking.conftest import NewestItem, Numbers

S = 1_000_000
NAN = float("nan")
BEHAVIOURS = ("impression", "view", "click")
VOCABULARY = ("a", "b", "c", "d")
K, LENGTH, AT = 3, 4, 50 * S
Event = tuple[int, int, str, int]  # seconds of event time and known time, item ("": none), behaviour code


@dataclass(frozen=True)
class Fan(NewestItem):
    """Items lie in a plane, thirty degrees apart."""

    def item_vectors(self) -> F32:
        angle = np.deg2rad(30) * np.arange(len(self.vocabulary.items))
        found: F32 = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
        return found

    def encode(self, h: Histories, p: Points) -> F32:
        return np.full((len(p.at), 2), 0.5**0.5, dtype=np.float32)


FAN = Fan(Numbers(VOCABULARY))


def histories(users: list[list[Event]]) -> Histories:
    flat = [event for events in users for event in events]
    items = tuple(dict.fromkeys(item for *_, item, _ in flat if item))
    return Histories(
        offsets=np.cumsum([0, *map(len, users)], dtype=np.int64),
        time=np.asarray([time * S for time, *_ in flat], dtype=np.int64),
        behaviour=np.asarray([code for *_, code in flat], dtype=np.int8),
        item=np.asarray([items.index(item) if item else -1 for *_, item, _ in flat], dtype=np.int32),
        price=np.full(len(flat), -1, dtype=np.int64),
        quantity=np.ones(len(flat), dtype=np.int64),
        value=np.full(len(flat), np.nan),
        items=items,
    )


def numbers(items: str) -> I32:
    return FAN.vocabulary.index(items)


def ints(*values: int) -> I64:
    return np.asarray(values, dtype=np.int64)


def test_the_newest_stand_last_each_with_cosine_type_and_age() -> None:
    """The new item x and the search without an item have no vector; what lies after the request does not count."""
    user: list[Event] = [(1, 1, "a", 1), (5, 5, "", 1), (7, 7, "x", 2), (9, 9, "b", -1), (10, 10, "d", 2)]
    h = histories([user, []])
    points = Points(start=ints(0, 5), end=ints(5, 5), at=ints(9, 9) * S)
    found = recent_of(h, points, FAN, ints(0, 0, 0, 1), numbers("dbxa"), 5)
    assert found.length == 5
    expected = [
        [NAN, 0, NAN, NAN, 0.5],  # d lies 90 degrees from a and 60 from b
        [NAN, 3**0.5 / 2, NAN, NAN, 1],
        [NAN] * 5,  # a candidate without a vector
        [NAN] * 5,  # a user without a history
    ]
    assert found.similarity == pytest.approx(np.asarray(expected), abs=1e-6, nan_ok=True)
    assert found.behaviour.tolist() == [[0, 2, 2, 3, 0], [0] * 5]
    assert found.gap == pytest.approx(np.log1p([[0, 8, 4, 2, 0], [0] * 5]), abs=1e-6)
    assert found.point.tolist() == [0, 0, 0, 1]
    newest = recent_of(h, points, FAN, ints(0, 1), numbers("da"), 1)
    assert newest.similarity == pytest.approx(np.asarray([[0.5], [NAN]]), abs=1e-6, nan_ok=True)


def test_some_of_the_pairs_take_their_points_along() -> None:
    h = histories([[(1, 1, "a", 1)], [(2, 2, "b", 2)], [(3, 3, "c", 0)]])
    found = recent_of(h, at_end(h, 9 * S), FAN, ints(0, 1, 1, 2), numbers("abcd"), 2)
    some = found.take(ints(3, 1))
    assert some.point.tolist() == [1, 0]
    assert some.behaviour.tolist() == [[0, 3], [0, 1]]
    np.testing.assert_array_equal(some.similarity, found.similarity[[3, 1]])
    np.testing.assert_array_equal(some.gap, found.gap[[1, 2]])
    with pytest.raises(BundleError, match=r"attends to 3 behaviours of each of 2 pairs, .* shape \(2, 2\)"):
        some.require(2, 3)


def test_columns_hold_it_and_a_row_without_it_is_told() -> None:
    h = histories([[(1, 1, "a", 1), (2, 2, "b", 2)], []])
    found = recent_of(h, at_end(h, 9 * S), FAN, ints(0, 0, 1), numbers("abc"), 3)
    table = pa.table(found.to_arrow())
    assert {name: table.schema.field(name).type for name in table.column_names} == COLUMNS
    again = Recent.from_arrow(table)
    assert again is not None
    np.testing.assert_array_equal(again.similarity, found.similarity)
    np.testing.assert_array_equal(again.behaviour[again.point], found.behaviour[found.point])
    np.testing.assert_array_equal(again.gap[again.point], found.gap[found.point])
    lacking = pa.table({name: pa.nulls(1, kind) for name, kind in COLUMNS.items()})
    assert Recent.from_arrow(pa.concat_tables([table, lacking])) is None
    assert Recent.from_arrow(table.slice(0, 0)) is None


def plain(events: list[Event], at: int, candidate: str, length: int) -> list[tuple[float, int, float]]:
    """Cosine, type and age of the newest behaviours, one by one."""
    rows = []
    for time, _, item, code in events[-length:]:
        both = item in VOCABULARY and candidate in VOCABULARY
        apart = 30 * (VOCABULARY.index(item) - VOCABULARY.index(candidate)) if both else 0
        rows.append((np.cos(np.deg2rad(apart)) if both else NAN, code + 1, np.log1p(at / S - time)))
    return [(NAN, 0, 0.0)] * (length - len(rows)) + rows


items_of = st.sampled_from(["", "a", "b", "c", "d", "x"])
codes_of = st.integers(-1, 2)
logs = st.lists(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9) | st.just(0), items_of, codes_of), max_size=9),
    min_size=1,
    max_size=4,
)


def ordered(users: list[list[Event]]) -> list[list[Event]]:
    """Delays become known times; each user's events by time."""
    told = [[(time, time + delay, item, code) for time, delay, item, code in events] for events in users]
    return [sorted(events, key=lambda event: event[0]) for events in told]


@rounds(max_examples=200)
@given(logs, st.integers(1, 6))
def test_it_agrees_with_plain_python(users: list[list[Event]], length: int) -> None:
    users = ordered(users)
    h = histories(users)
    pairs = [(user, candidate) for user in range(len(users)) for candidate in "adx"]
    point, candidates = ints(*(user for user, _ in pairs)), "".join(candidate for _, candidate in pairs)
    found = recent_of(h, at_end(h, AT), FAN, point, numbers(candidates), length)
    for row, (user, candidate) in enumerate(pairs):
        expected = plain([event for event in users[user] if event[0] * S <= AT], AT, candidate, length)
        similarity, behaviour, gap = np.asarray(expected).T
        assert found.similarity[row] == pytest.approx(similarity, abs=1e-6, nan_ok=True)
        assert found.behaviour[found.point[row]].tolist() == behaviour.tolist()
        assert found.gap[found.point[row]] == pytest.approx(gap, rel=1e-6)


@dataclass(frozen=True)
class ByRecent:
    """A ranker that reads the behaviours and no feature: another number for any other sequence."""

    names: tuple[str, ...] = feature_names(FeatureSettings())
    attention: int = LENGTH

    def score(self, x: F32, recent: Recent | None, /) -> F32:
        assert recent is not None
        assert len(x) == len(recent.similarity)
        weights = np.random.default_rng(0).uniform(1, 2, (3, LENGTH))
        parts = np.stack([recent.similarity, recent.behaviour[recent.point], recent.gap[recent.point]])
        told: F32 = np.einsum("tml,tl->m", np.where(np.isnan(parts), -3, parts), weights).astype(np.float32)
        return told


SNAPSHOT = ItemSnapshot(
    items=VOCABULARY,
    features=np.zeros((4, len(ITEM_FEATURES)), dtype=np.float32),
    price=np.full(4, 100, dtype=np.int64),
    category=(None,) * 4,
    title=(None,) * 4,
    in_stock=np.ones(4, dtype=np.bool_),
    at=AT,
)


def served(users: list[list[Event]]) -> dict[tuple[int, str], float]:
    """What the server says of each user's recommended items, from the last K behaviours that it could know."""
    seen = [[e for e in events if e[0] * S < AT and e[1] * S < AT][-K:] for events in users]
    sizes = TopNSettings(n=4, candidates=8, popular=4)
    found = recommend(histories(seen), AT, FAN, ByRecent(), SNAPSHOT, BEHAVIOURS, FeatureSettings(k=K), sizes)
    rows = zip(found.items.rows.tolist(), found.items.values.tolist(), found.score.tolist(), strict=True)
    return {(user, VOCABULARY[item]): score for user, item, score in rows}


def learned_from(users: list[list[Event]]) -> dict[tuple[int, str], float]:
    """The same score of each user's pairs with every item, as examples of requests at AT have them."""
    h = histories(users)
    known = np.asarray([known * S for events in users for _, known, *_ in events], dtype=np.int64)
    pairs = [(user, item) for user in range(len(users)) for item in VOCABULARY]
    request = ints(*(user for user, _ in pairs))
    asked = Requests(
        user=np.arange(len(users)),
        at=np.full(len(users), AT),
        ahead=np.zeros(len(users), dtype=np.bool_),
        request=request,
        item=pa.array([item for _, item in pairs], pa.string()),
        item_rows=np.zeros((len(pairs), len(ITEM_FEATURES)), dtype=np.float32),
        positive=np.asarray([item in "ac" for _, item in pairs]),
        categories=np.full(len(h.items), -1, dtype=np.int32),
        pair_category=np.full(len(pairs), -1, dtype=np.int32),
    )
    x, kept, recent = features(h, known, asked, FAN, BEHAVIOURS, FeatureSettings(k=K), seen=True, attention=LENGTH)
    assert len(kept) == len(pairs)
    return dict(zip(pairs, ByRecent().score(x, recent).tolist(), strict=True))


@rounds(max_examples=200)
@given(logs, st.integers(44, 50))
def test_training_sees_what_the_server_would_have_seen(users: list[list[Event]], pinned: int) -> None:
    """Events at the request's microsecond, after it, and known after it are in the log that examples are made of."""
    users = ordered([[*events, (pinned, 50 - pinned, "b", 1)] for events in users])
    at_serving, in_training = served(users), learned_from(users)
    assert {user for user, _ in at_serving} == set(range(len(users)))
    assert {pair: in_training[pair] for pair in at_serving} == pytest.approx(at_serving, abs=1e-5)
