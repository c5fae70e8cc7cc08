"""The item snapshot's file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.config import FeatureSettings
from recsys.errors import BundleError
from recsys.features.definitions import ITEM_FEATURES, names
from recsys.features.item import ItemSnapshot, from_table

START = 1_700_000_000_000_000


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
    loaded = ItemSnapshot.load(tmp_path / "deep" / "snapshot.parquet", FeatureSettings())
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
        ItemSnapshot.load(tmp_path / "none", FeatureSettings())
    (tmp_path / "text").write_text("hello")
    with pytest.raises(BundleError, match="not a Parquet file"):
        ItemSnapshot.load(tmp_path / "text", FeatureSettings())
    pq.write_table(pa.table({"item_id": ["a"]}), tmp_path / "other")
    with pytest.raises(BundleError, match="feature hash none"):
        ItemSnapshot.load(tmp_path / "other", FeatureSettings())
