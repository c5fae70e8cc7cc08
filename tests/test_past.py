from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recsys.errors import ConfigError, VersionGoneError
from recsys.tables import EVENTS, ITEMS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SPRING = datetime(2020, 5, 1, tzinfo=timezone.utc)


def test_a_version_is_read_as_it_was_until_its_files_are_gone(spark: SparkSession, tmp_path: Path) -> None:
    from delta.tables import DeltaTable

    from recsys.io import Commit, Warehouse
    from recsys.past import view_of

    warehouse = Warehouse(spark, str(tmp_path / "warehouse"))
    versions = []
    for number, item in enumerate("abc"):
        row = {"item_id": item, "valid_from": SPRING}
        frame = spark.createDataFrame([tuple(row.get(name) for name in ITEMS.names)], ITEMS.ddl).coalesce(1)
        replaced = "item_id = 'a' OR item_id = 'b' OR item_id = 'c'"
        versions.append(warehouse.write(ITEMS, frame, Commit(query="t", epoch=0, batch=number), replace=replaced))
    first, _, newest = versions

    def items(version: int) -> list[str]:
        return [row["item_id"] for row in view_of(warehouse, {"items": version}).read(ITEMS).collect()]

    assert [items(version) for version in versions] == [["a"], ["b"], ["c"]]
    check = "spark.databricks.delta.retentionDurationCheck.enabled"
    spark.conf.set(check, "false")
    try:
        DeltaTable.forPath(spark, warehouse.path(ITEMS)).vacuum(0)
    finally:
        spark.conf.unset(check)
    assert items(newest) == ["c"]
    gone = f"version {first} of table 'items' can no longer be read: the oldest is {newest}, the newest .*VACUUM"
    with pytest.raises(VersionGoneError, match=gone):
        items(first)
    with pytest.raises(VersionGoneError, match=r"version 99 of table 'items' .*: the newest is"):
        items(99)
    with pytest.raises(VersionGoneError, match="'events' does not exist"):
        view_of(warehouse, {EVENTS.name: 0})
    with pytest.raises(ConfigError, match=r"no table 'itmes'. Did you mean 'items'"):
        view_of(warehouse, {"itmes": 0})
