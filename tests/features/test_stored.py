"""What `item_features` keeps of the features, and how a share is read. Values in tables: test_backfill."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest

from recsys.config import ItemFeature
from recsys.features.definitions import ITEM_FEATURES, names
from recsys.features.item_feature import of_item
from recsys.features.stored import _share, kept

SHARES = {"item_engaged_share_1h", "item_engaged_share_6h", "item_engaged_share_1d"}


def test_shares_are_kept_as_the_counts_that_they_are_of() -> None:
    assert set(names(ITEM_FEATURES)) - set(names(kept(ITEM_FEATURES))) == SHARES
    assert set(names(kept(ITEM_FEATURES))) < set(names(ITEM_FEATURES))  # their counts are features already
    views = of_item(ItemFeature(operation="share", behaviour="view", window="6h"))
    twice = of_item(ItemFeature(operation="count", behaviour="view", window="6h"))
    assert kept((*ITEM_FEATURES, views)) == kept((*ITEM_FEATURES, twice)) == kept((*ITEM_FEATURES, twice, views))


def test_a_share_is_unknown_without_an_event_and_where_nobody_counted() -> None:
    own, everyone, active = pa.array([3, 0, 0, 2, None]), pa.array([50, 0, 9, None, 9]), pa.array([4, 1, 0, 2, None])
    expected = [math.log(3.5 / 100), math.log(0.5 / 50), None, None, None]
    assert _share(own, everyone, active).to_pylist() == pytest.approx(expected)
