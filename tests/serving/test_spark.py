"""The follower: every new version of a profile reaches the store, once, whatever is read again."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from jobs import online
from recsys.job import run
from recsys.serving.sqlite import SqliteStore
from recsys.serving.store import unpack
from recsys.tables import USER_PROFILES
from tests.jobs.conftest import conf
from tests.serving.profiles import RECENT, profile, recent

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from recsys.io import Warehouse

__all__ = ["conf"]
AT = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
NAMES = ("view", "click")


def append(warehouse: Warehouse, batch: int, *users: str, minutes: int = 0) -> None:
    """Rows of `user_profiles` as the stream's batch writes them: `batch` + 1 behaviours each."""
    as_of = AT + timedelta(minutes=minutes)
    behaviours = [("e", as_of, "view", f"i{n}", None, 1, None) for n in range(batch + 1)]
    none: dict[str, int] = {}
    rows = [(user, 0, batch, as_of, behaviours, none, None, as_of, False) for user in users]
    frame = warehouse.spark.createDataFrame(rows, USER_PROFILES.ddl)
    frame.coalesce(1).write.format("delta").mode("append").save(warehouse.path(USER_PROFILES))


def test_profiles_are_packed_one_by_one() -> None:
    from recsys.serving.spark import packed_profiles, profiles

    one = recent({"behaviour": "view", "item_id": "a", "event_time": 5}, {"behaviour": "click", "event_time": 7})
    lists = pa.array([one.to_pylist(), None, [], one.to_pylist()[1:]], pa.list_(RECENT))
    moments = pa.array([7, None, 3, 7], pa.timestamp("us", tz="Europe/Vienna"))
    columns = [pa.array(["u", "v", "w", "x"]), pa.array([0] * 4), pa.array([1, 2, 3, 4]), moments, lists]
    batch = pa.RecordBatch.from_arrays(columns, names=["user_id", "epoch", "batch", "as_of", "recent"])
    (packed,) = packed_profiles(iter([batch]))
    found = list(profiles(packed.to_pylist()))
    assert [(p.user_id, p.batch, p.as_of) for p in found] == [("u", 1, 7), ("w", 3, 3), ("x", 4, 7)]
    assert [unpack(p.recent, NAMES, 9).time.tolist() for p in found] == [[5, 7], [], [7]]
    (sliced,) = packed_profiles(iter([batch.slice(3)]))
    assert sliced.column("recent")[0] == packed.column("recent")[3]


def test_the_store_follows_the_table(spark: SparkSession, conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    from recsys.io import Warehouse

    folder = Path(conf).parent
    settings = ["--conf", conf, "--set", f"serving.store={folder}/online.db"]
    assert run(online.JOB, online.main, settings) == 3
    assert "table 'user_profiles' is absent" in capsys.readouterr().err
    warehouse = Warehouse(spark, str(folder / "tables"))
    append(warehouse, 0, "u", "v")
    assert run(online.JOB, online.main, settings) == 0
    append(warehouse, 1, "u", minutes=5)
    capsys.readouterr()
    assert run(online.JOB, online.main, settings) == 0
    assert '"users": 1,' in capsys.readouterr().err  # only what is new was read
    with closing(SqliteStore(folder / "online.db")) as store:
        lengths = {user: len(unpack(p.recent, NAMES, 9).time) for user in "uv" if (p := store.get(user)) is not None}
        assert lengths == {"u": 2, "v": 1}
        assert (state := store.state()) is not None
        assert (state.batch, state.as_of) == (1, int((AT + timedelta(minutes=5)).timestamp() * 1e6))


def test_an_empty_store_is_filled_from_the_beginning(tmp_path: Path) -> None:
    from recsys.serving.spark import from_the_beginning

    with closing(SqliteStore(tmp_path / "o.db", create=True)) as store:
        assert from_the_beginning(store, asked=False)
        store.put([profile("u", 0, 1)])
        assert not from_the_beginning(store, asked=False)
        assert from_the_beginning(store, asked=True)
