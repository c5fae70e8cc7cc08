"""Bots found and missed, counted by hand; a log's figures without what no person did."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from recsys.config import FeatureSettings, Settings
from recsys.features.definitions import profiles_table
from recsys.monitor.report_data import Bots
from recsys.monitor.simulated import LABELS, bots_found, compared, true_bots
from recsys.pseudonyms import ensure_key, pseudonym
from recsys.simulate.realism import ranges, realism
from recsys.tables import EVENTS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from recsys.io import View, Warehouse
    from recsys.schema import Table

UTC = timezone.utc
NOW = datetime(2026, 3, 2, tzinfo=UTC)


def commit(warehouse: Warehouse, table: Table, rows: list[dict[str, Any]], batch: int = 0) -> View:
    from recsys.io import Commit

    frame = warehouse.spark.createDataFrame([tuple(row.get(n) for n in table.names) for row in rows], table.ddl)
    who = Commit(query=table.name, epoch=0, batch=batch)
    warehouse.finish(who, {table.name: warehouse.write(table, frame, who)}, NOW)
    return warehouse.view()


def named(spark: SparkSession, *users: str) -> DataFrame:
    return spark.createDataFrame([(user,) for user in users], "user_id string")


def test_precision_and_recall_by_hand(spark: SparkSession, tmp_path: Path) -> None:
    from recsys.io import Warehouse

    warehouse = Warehouse(spark, str(tmp_path))
    table = profiles_table(FeatureSettings())
    flags = {"a": False, "b": True, "c": True, "d": True, "e": False, "f": None}
    commit(warehouse, table, [{"user_id": u, "is_bot": f, "epoch": 0, "batch": 0} for u, f in flags.items()])
    later = [{"user_id": "b", "is_bot": False}, {"user_id": "a", "is_bot": True}]  # the newest state counts
    view = commit(warehouse, table, [row | {"epoch": 0, "batch": 1} for row in later], 1)
    # a, c and d are flagged. Of the true bots a, b, f and g, the last never came.
    found = bots_found(view, named(spark, "a", "b", "f", "g"))
    assert found == Bots(found=3, true=3, precision=1 / 3, recall=1 / 3)
    assert bots_found(view, named(spark, "c", "a")) == Bots(found=3, true=2, precision=2 / 3, recall=1.0)
    none = bots_found(view, named(spark, "g"))
    assert (none.found, none.true, none.precision) == (3, 0, 0.0)
    assert isnan(none.recall)


def test_the_shops_bots_go_by_their_pseudonyms(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "bots.json").write_text(json.dumps({"u000007": "scraper", "u000008": "clicker"}))
    settings = Settings(pseudonym_key_file=ensure_key(f"{tmp_path}/key"))
    key = (tmp_path / "key").read_text().encode()
    rows = true_bots(spark, tmp_path, settings).collect()
    assert [row["user_id"] for row in rows] == [pseudonym(key, name) for name in ("u000007", "u000008")]


def test_figures_are_of_people_who_engage(spark: SparkSession, tmp_path: Path) -> None:
    from recsys.io import Warehouse

    random = np.random.default_rng(5)
    kept: list[dict[str, Any]] = [
        {"user_id": f"u{user}", "session_id": f"s{user}{n % 3}", "item_id": f"i{int(random.exponential(4))}",
         "behaviour": ("view", "click")[n % 2], "event_time": datetime.fromtimestamp(1e9 + 60 * user + 7 * n, UTC)}
        for user in range(6)
        for n in range(12)
    ]  # fmt: skip
    one = kept[0]
    others = [
        one | {"user_id": "bot"},
        one | {"behaviour": "impression"},
        one | {"behaviour": "search", "item_id": None},
    ]
    others += [one | {"user_id": None}, one | {"session_id": None}]
    view = commit(Warehouse(spark, str(tmp_path)), EVENTS, [*kept, *others])
    found = {line.name: line for line in compared(view, Settings(), named(spark, "bot"))}
    time = np.asarray([int(row["event_time"].timestamp()) * 1_000_000 for row in kept])
    user, session, item = ([row[name] for row in kept] for name in ("user_id", "session_id", "item_id"))
    wanted = realism(user, session, item, time)
    assert found.keys() == set(LABELS.values())
    for name, (low, high) in ranges().items():
        line = found[LABELS[name]]
        assert line.value == pytest.approx(getattr(wanted, name)), name
        assert (line.low, line.high) == (low, high)
