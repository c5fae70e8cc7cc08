"""The follower: every new version of a profile reaches the store, once, whatever is read again."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from jobs import online
from recsys.errors import RefusedError
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


def append(
    warehouse: Warehouse, batch: int, *users: str, minutes: int = 0, epoch: int = 0, served: bool = True
) -> None:
    """Rows of `user_profiles` as the stream's batch writes them: `batch` + 1 behaviours each."""
    from recsys.features.stream import QUERY
    from recsys.io import Commit

    as_of = AT + timedelta(minutes=minutes)
    behaviours = [(as_of, "e", "view", f"i{n}", None, 1, None) for n in range(batch + 1)]
    none: dict[str, int] = {}
    rows = [(user, epoch, batch, as_of, behaviours, none, None, as_of, False) for user in users]
    commit = Commit(query=QUERY, epoch=epoch, batch=batch)
    version = warehouse.write(
        USER_PROFILES, warehouse.spark.createDataFrame(rows, USER_PROFILES.ddl).coalesce(1), commit
    )
    warehouse.finish(commit, {USER_PROFILES.name: version} if served else {}, AT)


def versions(store: SqliteStore) -> dict[str, tuple[int, int]]:
    found = {user: store.get(user) for user in "uv"}
    return {user: (p.epoch, p.batch) for user, p in found.items() if p is not None}


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
    from recsys.serving.spark import Put, profiles_stream

    folder = Path(conf).parent
    settings = ["--conf", conf, "--set", f"serving.store={folder}/online.db"]
    assert run(online.JOB, online.main, settings) == 3
    assert "'user_profiles' has no rows under" in capsys.readouterr().err
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
    append(warehouse, 2, "u", epoch=1, served=False)  # of a rebuild under way
    assert run(online.JOB, online.main, settings) == 0
    with closing(SqliteStore(folder / "online.db")) as store:
        assert versions(store) == {"u": (0, 1), "v": (0, 0)}
        put = Put(store=store, warehouse=warehouse, epoch=0)
        append(warehouse, 3, "v", epoch=1)  # the switch
        with pytest.raises(RefusedError, match=r"readers see epoch 1 .* follows epoch 0: start jobs/online\.py again"):
            put(profiles_stream(warehouse), 0)
    assert run(online.JOB, online.main, settings) == 0
    with closing(SqliteStore(folder / "online.db")) as store:
        assert versions(store) == {"u": (1, 2), "v": (1, 3)}


def test_an_empty_store_is_filled_from_the_beginning(tmp_path: Path) -> None:
    from recsys.serving.spark import from_the_beginning

    with closing(SqliteStore(tmp_path / "o.db", create=True)) as store:
        assert from_the_beginning(store, asked=False)
        store.put([profile("u", 0, 1)])
        assert not from_the_beginning(store, asked=False)
        assert from_the_beginning(store, asked=True)
