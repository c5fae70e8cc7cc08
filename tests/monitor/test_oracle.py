"""The oracle's lists are the top of the truth, under the pseudonyms that the pipeline gives."""

from __future__ import annotations

from datetime import date, datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from recsys.config import Settings
from recsys.monitor.oracle import LISTED, oracle_lists, truth_folder
from recsys.pseudonyms import ensure_key, pseudonym
from recsys.simulate.settings import SimulateSettings
from recsys.simulate.shop import open_shop
from recsys.simulate.truth import true_scores
from recsys.simulate.write import write_truth

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAY = date(2025, 3, 12)
START = datetime(2025, 3, 11, 15, tzinfo=timezone.utc)  # of the business day in Tokyo


@pytest.mark.parametrize("items", [100, 230])
def test_lists_are_the_top_of_the_true_scores(spark: SparkSession, tmp_path: Path, items: int) -> None:
    shop = open_shop(SimulateSettings(seed=3, users=30, items=items, events_per_day=500, cluster_items=20, bots=2))
    write_truth(shop, tmp_path)
    settings = Settings(timezone="Asia/Tokyo", pseudonym_key_file=ensure_key(f"{tmp_path}/key"))
    rows = oracle_lists(spark, tmp_path, DAY, settings).collect()
    key = (tmp_path / "key").read_text().encode()
    users = {pseudonym(key, f"u{user:06d}"): user for user in range(30)}
    assert sorted(row["user_id"] for row in rows) == sorted(users)  # people only: bots follow no taste
    scores = true_scores(shop, np.arange(30), int(START.timestamp()) * 1_000_000)
    for row in rows:
        listed = [int(item.removeprefix("i")) for item in row["items"]]
        assert all(len(item) == 6 for item in row["items"])
        assert len(set(listed)) == len(listed) == min(LISTED, items)
        own = scores[users[row["user_id"]]]
        assert (np.diff(own[listed]) <= 0).all()
        assert np.delete(own, listed).max(initial=0) <= own[listed].min()


def test_a_shop_is_known_by_its_truth_beside_the_events(tmp_path: Path) -> None:
    assert truth_folder(str(tmp_path / "events")) is None
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "shop.json").write_text("{}")
    assert truth_folder(str(tmp_path / "events")) == tmp_path
    assert truth_folder((tmp_path / "events").as_uri()) == tmp_path
    assert truth_folder(str(tmp_path / "elsewhere" / "events")) is None
