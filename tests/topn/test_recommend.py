"""A shop of eight items on a circle: vectors are angles, so every cosine is known by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recsys.config import FeatureSettings, TopNSettings
from recsys.errors import BundleError, NoDataError
from recsys.features.definitions import ITEM_FEATURES, feature_names, names
from recsys.features.history import F32, I32, I64, Histories, Points
from recsys.features.item import ItemSnapshot
from recsys.ranking.recent import Recent
from recsys.topn import recommend as module
from recsys.topn.index import build_index
from recsys.topn.recommend import TopN, recommend

BEHAVIOURS = ("view", "purchase")
AT = 1_700_000_000_000_000
ITEMS = tuple(f"i{n}" for n in range(8))
KNOWN = ITEMS[:6]  # i6 and i7 are unknown to the encoder


@dataclass(frozen=True)
class Circle:
    """An encoder without parameters: item n points to 30 n degrees, a user to where their newest known item does."""

    @property
    def vocabulary(self) -> "Circle":
        return self

    def index(self, ids: Sequence[str]) -> I32:
        return np.asarray([KNOWN.index(i) + 1 if i in KNOWN else 0 for i in ids], dtype=np.int32)

    def item_vectors(self) -> F32:
        angle = np.deg2rad(30.0 * np.arange(len(KNOWN)))
        vectors: F32 = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
        return vectors

    def soft_maximum(self, users: F32) -> F32:
        return self.level(torch.from_numpy(users @ self.item_vectors().T)).numpy()

    def level(self, cosine: Tensor) -> Tensor:
        return cosine.amax(dim=1)

    def affinity(self, h: Histories, p: Points, pair_point: I64, number: I32, newest: Sequence[int]) -> F32:
        """1000 x the behaviours looked at + the item's number."""
        length = np.minimum(p.end - p.start, np.asarray(newest)[:, None])[:, pair_point]
        return np.where(number > 0, 1000 * length + number, np.nan).astype(np.float32)

    def encode(self, h: Histories, p: Points) -> F32:
        padded: F32 = np.concatenate([np.zeros((1, 2), np.float32), self.item_vectors()])
        ids = [*h.items, ""]  # item -1 reads the last
        newest = [ids[h.item[end - 1]] if end > start else "" for start, end in zip(p.start, p.end, strict=True)]
        return np.asarray(padded[self.index(newest)], dtype=np.float32)


@dataclass(frozen=True)
class ByPopularity:
    """A ranker that reads one column: the item's behaviours of the day."""

    names: tuple[str, ...] = feature_names(FeatureSettings())

    @property
    def attention(self) -> int:
        return 0

    def score(self, x: F32, recent: Recent | None = None, /) -> F32:
        score: F32 = x[:, self.names.index("item_engaged_count_1d")] / np.float32(100)
        return score


def snapshot(in_stock: tuple[bool, ...] = (True,) * 8) -> ItemSnapshot:
    features = np.zeros((8, len(ITEM_FEATURES)), dtype=np.float32)
    features[:, names(ITEM_FEATURES).index("item_engaged_count_1d")] = [0, 1, 2, 3, 4, 5, 6, 0]
    features[:, names(ITEM_FEATURES).index("item_engaged_count_7d")] = [0, 1, 2, 3, 4, 5, 6, 9]
    return ItemSnapshot(
        items=ITEMS,
        features=features,
        price=np.full(8, 100, dtype=np.int64),
        category=("a", "a", "b", "b", None, "c", "c", "c"),
        title=("Zero", "One", None, "Three", "Four", "Five", "Six", "Seven"),
        in_stock=np.asarray(in_stock),
        at=AT,
    )


def histories(*users: list[tuple[str, str]]) -> Histories:
    flat = [event for user in users for event in user]
    items = tuple(dict.fromkeys(item for _, item in flat if item))
    return Histories(
        offsets=np.concatenate([[0], np.cumsum([len(user) for user in users])]).astype(np.int64),
        time=AT - 1_000_000 * np.arange(len(flat), 0, -1, dtype=np.int64),
        behaviour=np.asarray([BEHAVIOURS.index(b) if b in BEHAVIOURS else -1 for b, _ in flat], dtype=np.int8),
        item=np.asarray([items.index(i) if i else -1 for _, i in flat], dtype=np.int32),
        price=np.full(len(flat), -1, dtype=np.int64),
        quantity=np.ones(len(flat), dtype=np.int64),
        value=np.full(len(flat), np.nan),
        items=items,
    )


def run(h: Histories, ranker: ByPopularity | None, s: ItemSnapshot, **topn: int) -> TopN:
    sizes = TopNSettings.model_validate({"n": 3, "candidates": 4, "popular": 2, **topn})
    return recommend(h, AT, Circle(), ranker, s, BEHAVIOURS, FeatureSettings(), sizes)


def listed(found: TopN) -> list[list[int]]:
    return [row[row >= 0].tolist() for row in found.items.padded()]


def test_without_a_ranker_the_nearest_unseen_items_come_first() -> None:
    found = run(histories([("view", "i0"), ("view", "i2")]), None, snapshot())
    # i2 points to 60 degrees: i1 and i3 are 30 degrees away, i4 is 60 away, i0 and i2 are seen; popular: i6, then i5
    assert listed(found) == [[1, 3, 4]]
    assert found.score.tolist() == pytest.approx([3**0.5 / 2, 3**0.5 / 2, 1 / 2], abs=1e-6)
    assert found.source.to_pylist() == ["neighbours"] * 3
    # i1 is as near to i0 as to i2: the newest is named; i2 has no title
    assert found.reason.to_pylist() == ["because you viewed i2"] * 3


def test_the_ranker_decides_among_neighbours_and_popular_items() -> None:
    found = run(histories([("view", "i1"), ("purchase", "i0")]), ByPopularity(), snapshot())
    # neighbours of i0 without i0 and i1: i2, i3; popular: i6, i5
    assert listed(found) == [[6, 5, 3]]
    assert found.score.tolist() == pytest.approx([0.06, 0.05, 0.03])
    assert found.source.to_pylist() == ["popular", "popular", "neighbours"]
    assert found.reason.to_pylist() == ["popular in the last day", "popular in the last day", "because you viewed One"]


class AgainstTheCrowd(ByPopularity):
    """The same, turned round for lists that are made ahead."""

    def score(self, x: F32, recent: Recent | None = None, /) -> F32:
        turned: F32 = super().score(x) * (1 - 2 * x[:, self.names.index("request_is_ahead")])
        return turned


def test_the_ranker_knows_whether_lists_are_made_ahead() -> None:
    h = histories([("view", "i1"), ("purchase", "i0")], [])
    sizes = TopNSettings(n=3, candidates=4, popular=2)
    lists = [
        listed(
            recommend(h, AT, Circle(), AgainstTheCrowd(), snapshot(), BEHAVIOURS, FeatureSettings(), sizes, ahead=ahead)
        )
        for ahead in (False, True)
    ]
    assert lists == [[[6, 5, 3], [6, 5, 4]], [[2, 3, 5], [4, 5, 6]]]


def test_an_item_of_both_sources_names_both() -> None:
    found = run(histories([("purchase", "i4")]), ByPopularity(), snapshot(), n=2)
    assert listed(found) == [[6, 5]]
    assert found.source.to_pylist() == ["popular", "neighbours+popular"]
    assert found.reason.to_pylist() == ["popular in the last day", "because you bought Four"]


@pytest.mark.parametrize("ranker", [None, ByPopularity()])
def test_a_cold_user_gets_popular_items_and_a_cold_item_can_be_one(ranker: ByPopularity | None) -> None:
    found = run(histories([], [("view", "unknown")]), ranker, snapshot(), popular=0)
    assert listed(found) == [[6, 5, 4]] * 2
    assert set(found.source.to_pylist()) == {"popular"}


def test_an_item_without_behaviour_today_says_so() -> None:
    found = run(histories([("view", i) for i in ITEMS[:7]]), ByPopularity(), snapshot())
    assert listed(found) == [[7]]
    assert found.reason.to_pylist() == ["popular in the last week"]


def test_other_behaviours_are_named_as_they_are() -> None:
    h = replace(histories([("purchase", "i1")]), behaviour=np.asarray([1], dtype=np.int8))
    sizes = TopNSettings(n=1, candidates=3, popular=0)
    found = recommend(h, AT, Circle(), None, snapshot(), ("view", "like"), FeatureSettings(), sizes)
    assert found.reason.to_pylist() == ["because of your like of One"]


def test_to_arrow_has_the_schema_of_the_table() -> None:
    column = run(histories([("view", "i2")], []), None, snapshot(), n=1).to_arrow(ITEMS)
    fields = {"item_id": pa.string(), "score": pa.float32(), "source": pa.string(), "reason": pa.string()}
    assert column.type == pa.list_(pa.struct(list(fields.items())))
    assert [[row["item_id"] for row in user] for user in column.to_pylist()] == [["i1"], ["i6"]]


EVENT = st.tuples(st.sampled_from(["view", "purchase", "search"]), st.sampled_from([*ITEMS, "unknown", ""]))


@settings(max_examples=40)
@given(st.lists(st.lists(EVENT, max_size=12), max_size=5), st.tuples(*[st.booleans()] * 8), st.booleans())
def test_never_a_seen_item_nor_one_out_of_stock_and_full_where_possible(
    users: list[list[tuple[str, str]]], stock: tuple[bool, ...], ranked: bool
) -> None:
    found = run(histories(*users), ByPopularity() if ranked else None, snapshot(stock), candidates=8, popular=8)
    for row, user in zip(listed(found), users, strict=True):
        allowed = {n for n in range(8) if stock[n]} - {ITEMS.index(i) for _, i in user if i in ITEMS}
        assert set(row) <= allowed
        assert len(row) == len(set(row)) == min(3, len(allowed))


def test_blocks_and_a_prepared_index_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    users = [[("view", f"i{n % 6}"), ("view", f"i{n % 5}")] for n in range(9)]
    h = histories(*users, [])
    whole = run(h, ByPopularity(), snapshot())
    monkeypatch.setattr(module, "BLOCK_USERS", 3)
    index = build_index(Circle(), snapshot(), TopNSettings())
    sizes = TopNSettings(n=3, candidates=4, popular=2)
    parts = recommend(
        h, np.full(10, AT), Circle(), ByPopularity(), snapshot(), BEHAVIOURS, FeatureSettings(), sizes, index
    )
    assert parts.to_arrow(ITEMS).equals(whole.to_arrow(ITEMS))


def test_no_users_give_no_lists() -> None:
    found = run(histories(), ByPopularity(), snapshot())
    assert len(found.to_arrow(ITEMS)) == 0


def test_a_ranker_of_other_features_is_refused() -> None:
    with pytest.raises(BundleError, match="unknown here \\['old'\\]"):
        run(histories([]), ByPopularity(names=("old", *feature_names(FeatureSettings())[1:])), snapshot())


def test_an_empty_snapshot_is_refused() -> None:
    nothing = replace(snapshot(), items=(), in_stock=np.zeros(0, np.bool_))
    with pytest.raises(NoDataError, match="item snapshot is empty"):
        build_index(Circle(), nothing, TopNSettings())
