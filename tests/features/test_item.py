"""Item features against the oracle; the snapshot's file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import BundleError
from recsys.features.definitions import ITEM_FEATURES, names
from recsys.features.history import Points
from recsys.features.item import Crowd, ItemSnapshot, from_table, item_features
from tests.features import oracle
from tests.features.logs import AT, events
from tests.features.oracle import ENGAGED, NAMES, Event, S
from tests.features.tiles import tiles_of

HOUR = 3600 * S
START = AT // HOUR * HOUR


@settings(max_examples=200)
@given(
    events(), st.sampled_from([HOUR, 300 * S]), st.sampled_from([0, 1, -1, 7 * 24, -7 * 24]), st.sampled_from([None, 5])
)
def test_equals_oracle(log: list[Event], width: int, shift: int, price: int | None) -> None:
    items, at = ["a", "b", "nothing", "ü"], START + shift * HOUR
    tiles = tiles_of(log, items, width)
    points = Points(start=tiles.offsets[:-1], end=tiles.offsets[1:], at=np.full(4, at))
    first = [min((e.time // HOUR * HOUR for e in log if e.item == item), default=at) for item in items]
    told = oracle.price_values(price, 7)
    prices = {name: np.full(4, np.nan if value is None else value) for name, value in told.items()}
    engaged = sorted(e.time // width * width for e in log if e.item is not None and e.behaviour in ENGAGED)
    everyone = Crowd(tile=np.asarray(engaged, dtype=np.int64), events=np.ones(len(engaged), dtype=np.int64))
    values = item_features(tiles, points, NAMES, ENGAGED, prices, np.asarray(first, dtype=np.int64), everyone)
    assert tuple(values) == names(ITEM_FEATURES)
    for row, item in enumerate(items):
        wanted = oracle.item_values(log, item, at, price, 7)
        for name in values:
            assert oracle.agree(values[name][row].item(), wanted[name]), (name, values[name][row], wanted[name])


def _snapshot() -> ItemSnapshot:
    features = np.arange(2 * len(ITEM_FEATURES), dtype=np.float32).reshape(2, -1)
    features[0, 0] = np.nan
    return ItemSnapshot(
        items=("a", "ü"),
        features=features,
        price=np.asarray([-1, 2**60]),
        category=(None, "x|y"),
        title=("A", None),
        in_stock=np.asarray([True, False]),
        at=START,
    )


def test_snapshot_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    saved = _snapshot()
    saved.save(tmp_path / "deep" / "snapshot.parquet")
    loaded = ItemSnapshot.load(tmp_path / "deep" / "snapshot.parquet")
    np.testing.assert_array_equal(loaded.features, saved.features)
    np.testing.assert_array_equal(loaded.price, saved.price)
    np.testing.assert_array_equal(loaded.in_stock, saved.in_stock)
    assert loaded.features.dtype == np.float32
    assert (loaded.items, loaded.category, loaded.title) == (saved.items, saved.category, saved.title)
    assert loaded.at == START
    np.testing.assert_array_equal(loaded.column("item_engaged_count_6h"), saved.features[:, 1])


def test_whole_numbers_beyond_float32_are_rounded() -> None:
    columns = {name: pa.array([7], pa.int64()) for name in names(ITEM_FEATURES)}
    columns["item_revenue_7d"] = pa.array([2**24 + 1], pa.int64())
    rest = {"item_id": ["a"], "price_minor": [1], "category": [None], "title": [None], "in_stock": [True]}
    found = from_table(pa.table({**columns, **rest}), START)
    assert found.column("item_revenue_7d").tolist() == [2**24]
    assert found.column("item_age_s").tolist() == [7]


def test_snapshot_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not exist"):
        ItemSnapshot.load(tmp_path / "none")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(BundleError, match="not a Parquet file"):
        ItemSnapshot.load(tmp_path / "text")
    pq.write_table(pa.table({"item_id": ["a"]}), tmp_path / "other")
    with pytest.raises(BundleError, match="feature hash none"):
        ItemSnapshot.load(tmp_path / "other")
