"""The nightly comparison: nothing differs in what was computed, and each tampered value is counted where it belongs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from recsys.config import EvaluateSettings, FeatureSettings, Settings, UserFeature
from recsys.features.definitions import ITEM_FEATURES, names, profile_features_of, profiles_table
from recsys.tables import EVENTS, PARITY
from tests.features.shop import append_events, write_items
from tests.features.test_backfill import DAY, FIRST, PRICES, START, days, event, log

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from recsys.features.parity import Compared
    from recsys.io import Warehouse

pytestmark = pytest.mark.slow

MANY = (
    UserFeature(operation="top_k", key="item", k=2),
    UserFeature(operation="counts", key="behaviour"),
    UserFeature(operation="lifetime_count"),
)
SETTINGS = Settings(evaluate=EvaluateSettings(parity=1.0), features=FeatureSettings(user=MANY))
TABLE = profiles_table(SETTINGS.features)


@pytest.fixture(scope="module")
def sound(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with events of a few days, and the profiles and item features that belong to them."""
    from recsys.features.backfill import backfill
    from recsys.features.state import user_profiles
    from recsys.io import Warehouse

    folder = tmp_path_factory.mktemp("sound")
    made = Warehouse(spark, str(folder))
    write_items(made, PRICES)
    events = log(5, 0, 3)
    append_events(made, [event(f"v{n}", START + n, "a", "view") for n in range(3)], 0)
    append_events(made, events, 1)
    for _ in backfill(made, SETTINGS, days(1)):
        pass
    store(made, user_profiles(made.view().read(EVENTS), SETTINGS).toArrow().to_pylist(maps_as_pydicts="strict"), 0)
    return folder


@pytest.fixture
def warehouse(spark: SparkSession, sound: Path, tmp_path: Path) -> Warehouse:
    """A copy of it, to tamper with."""
    from recsys.io import Warehouse

    shutil.copytree(sound, tmp_path / "w")
    return Warehouse(spark, f"{tmp_path}/w")


def store(warehouse: Warehouse, rows: Sequence[Mapping[str, Any]], batch: int) -> None:
    from recsys.io import Commit

    commit = Commit(query="user_profiles", epoch=0, batch=batch)
    table = [tuple({**row, "epoch": 0, "batch": batch}.get(name) for name in TABLE.names) for row in rows]
    version = warehouse.write(TABLE, warehouse.spark.createDataFrame(table, TABLE.ddl), commit)
    warehouse.finish(commit, {TABLE.name: version}, datetime.now(timezone.utc))


def by_feature(found: Sequence[Compared]) -> dict[str, Compared]:
    return {one.feature: one for one in found}


def differing(found: Sequence[Compared]) -> dict[str, tuple[int, int, int]]:
    told = {one.feature: (one.mismatch, one.missing, one.extra) for one in found}
    return {feature: counts for feature, counts in told.items() if any(counts)}


def test_what_was_computed_does_not_differ(warehouse: Warehouse) -> None:
    from recsys.features.parity import Compared, compare, write

    found = compare(warehouse, SETTINGS, FIRST)
    assert differing(found) == {}
    told = by_feature(found)
    assert tuple(told) == names(profile_features_of(SETTINGS.features) + ITEM_FEATURES)
    assert (told["view_count_1d"].rows, told["view_count_1d"].stale) == (1, 0)
    assert told["item_engaged_count_1d"].rows > 3
    made_up = {"table": "t", "stale": 0, "missing": 0, "extra": 2}
    differs, nothing = (Compared(feature=str(rows), rows=rows, mismatch=1, **made_up) for rows in (4, 0))  # type: ignore[arg-type]
    write(warehouse, FIRST, [*found, differs, nothing])
    rows = {row["feature"]: row for row in warehouse.view().latest(PARITY).collect()}
    assert len(rows) == len(found) + 2
    assert [rows["4"][f"{kind}_rate"] for kind in ("mismatch", "missing", "extra")] == [0.25, 0, 0.5]
    assert [rows["0"][f"{kind}_rate"] for kind in ("mismatch", "missing", "extra")] == [None, None, None]
    own = [rows[one.feature] for one in found]
    assert {(row["day"], row["mismatch"], row["mismatch_rate"]) for row in own} == {(FIRST, 0, 0)}


def test_tampered_values_are_counted_by_kind(warehouse: Warehouse) -> None:
    from recsys.features.parity import compare

    (row,) = warehouse.view().latest(TABLE).toArrow().to_pylist(maps_as_pydicts="strict")
    assert row["price_mean_30d"] is not None
    wrong = {"view_count_30d": row["view_count_30d"] + 1, "price_mean_30d": None, "rating_value_mean": 5.0}
    assert row["rating_value_mean"] is None
    wrong |= {"item_top2": None, "engaged_lifetime_count": row["engaged_lifetime_count"] + 1}
    wrong["behaviour_counts"] = {**row["behaviour_counts"], "view": row["behaviour_counts"]["view"] - 1}
    store(warehouse, [{**row, **wrong}], 1)
    found = compare(warehouse, SETTINGS, FIRST)
    assert differing(found) == {
        "view_count_30d": (1, 0, 0),
        "price_mean_30d": (0, 1, 0),
        "rating_value_mean": (0, 0, 1),
        "item_top2": (0, 1, 0),
        "behaviour_counts": (1, 0, 0),
        "engaged_lifetime_count": (1, 0, 0),
    }
    store(warehouse, [{**row, "price_mean_30d": row["price_mean_30d"] * (1 + 1e-12)}], 2)
    assert differing(compare(warehouse, SETTINGS, FIRST)) == {}


def test_a_row_that_lacks_events_is_stale_and_one_that_lacks_is_missing(warehouse: Warehouse) -> None:
    from recsys.features.parity import compare

    append_events(warehouse, [event("new", START + 3 * DAY, "a", "view")], 2)
    told = by_feature(compare(warehouse, SETTINGS, FIRST))
    assert {(one.rows, one.stale, one.mismatch) for one in told.values() if one.table == TABLE.name} == {(0, 1, 0)}
    (row,) = warehouse.view().latest(TABLE).toArrow().to_pylist(maps_as_pydicts="strict")
    store(warehouse, [{**row, "user_id": "nobody"}], 1)  # no event names this user
    found = compare(warehouse, SETTINGS, FIRST)
    assert by_feature(found)["engaged_count"].extra == 1
    assert by_feature(found)["engaged_count"].rows == 1


def test_a_day_that_must_be_backfilled_first_is_left_out(warehouse: Warehouse) -> None:
    from recsys.features.parity import compare

    append_events(warehouse, [event("late", START + 5, "b")], 2)
    assert {one.table for one in compare(warehouse, SETTINGS, FIRST)} == {TABLE.name}


def test_users_are_drawn_by_share_and_day(warehouse: Warehouse) -> None:
    from recsys.features.parity import compare

    none = SETTINGS.model_copy(update={"evaluate": EvaluateSettings(parity=0.0)})
    assert by_feature(compare(warehouse, none, FIRST))["engaged_count"].rows == 0
