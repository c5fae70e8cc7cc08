"""A rebuild for other settings: readers see the old epoch, whole, until they see the new one, whole; kills included."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from recsys.config import FeatureSettings, Settings
from recsys.errors import RefusedError
from recsys.features.definitions import profiles_table, user_features_of
from recsys.tables import BATCHES, USER_PROFILES
from tests.features import oracle
from tests.features.logs import EDGES, EVERY_KIND
from tests.features.oracle import NAMES, Event
from tests.features.shop import append_events, micros

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from recsys.io import Warehouse

pytestmark = pytest.mark.slow

OLD, NEW = FeatureSettings(k=5), FeatureSettings(k=3, user=EVERY_KIND[:4])


@dataclass
class Shop:
    """A warehouse, the events in it, and which epoch readers saw around each commit."""

    warehouse: Warehouse
    old: Settings
    new: Settings
    known: list[Event] = field(default_factory=list)
    seen: list[int | None] = field(default_factory=list)

    def arrive(self, size: int) -> None:
        """New events, as one file."""
        random, first = Random(len(self.known)), len(self.known)
        made = [
            Event(
                id=f"e{number}",
                user=random.choice(["u", "v", "w", None]),
                time=random.choice(EDGES[-15:]),  # of one day: each arrival is one file
                behaviour=random.choice(NAMES),
                item=random.choice(["a", "b", None]),
                price=random.choice([None, 7, 999]),
            )
            for number in range(first, first + size)
        ]
        append_events(self.warehouse, made, first)
        self.known += made

    def stream(self, settings: Settings) -> None:
        """What jobs/stream.py does with profiles."""
        from recsys import queries
        from recsys.features.stream import QUERY, profiles_stream, serving_checkpoint

        point = serving_checkpoint(self.warehouse, settings)
        rows, write = profiles_stream(self.warehouse, settings, point)
        queries.wait([queries.start(rows, write, name=QUERY, point=point, trigger="available-now", mode="update")])

    def rebuild(self, anew: bool = False) -> int:
        from recsys.features.rebuild import rebuild

        return rebuild(self.warehouse, self.new, anew)

    def check(self, features: FeatureSettings, epoch: int, known: Sequence[Event] | None = None) -> None:
        """Readers see the oracle's rows of `known`, by default all events, and only these."""
        events, view = self.known if known is None else known, self.warehouse.view()
        rows: list[dict[str, Any]] = view.latest(profiles_table(features)).toArrow().to_pylist()
        assert {row["epoch"] for row in rows} == {epoch}
        assert sorted(row["user_id"] for row in rows) == sorted({e.user for e in events if e.user})
        for row in rows:
            recent = oracle.state(events, row["user_id"], features.k)
            assert [r["event_id"] for r in row["recent"]] == [e.id for e in recent]
            at = max(e.time for e in events if e.user == row["user_id"])
            assert micros(row["as_of"]) == at
            wanted = oracle.user_values(recent, at, features)
            assert all(oracle.agree(row[f.name], wanted[f.name]) for f in user_features_of(features))


def killed(*args: object, **options: object) -> None:
    raise KeyError("killed")


@contextmanager
def watched(shop: Shop, kill: str = "") -> Iterator[None]:
    """Note what readers see after each write and each commit; die at the first call of the named one."""
    from recsys.io import Warehouse

    def noting(own: Any) -> Any:
        def noted(self: Warehouse, *more: Any, **options: Any) -> Any:
            done = own(self, *more, **options)
            shop.seen.append(self.view().epoch(USER_PROFILES))
            return done

        return noted

    with pytest.MonkeyPatch.context() as patch:
        for name in ("write", "finish"):
            patch.setattr(Warehouse, name, killed if name == kill else noting(getattr(Warehouse, name)))
        yield


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    from recsys.features import rebuild
    from recsys.io import Warehouse

    monkeypatch.setattr(rebuild, "_limit", lambda settings: ("maxFilesPerTrigger", "1"))
    old = Settings(features=OLD, checkpoints=f"{tmp_path}/c", warehouse=f"{tmp_path}/w")
    made = Shop(Warehouse(spark, old.warehouse), old, old.model_copy(update={"features": NEW}))
    for _ in range(2):
        made.arrive(20)
    made.stream(old)
    return made


def test_readers_see_whole_epochs_however_often_the_rebuild_is_killed(shop: Shop) -> None:
    from pyspark.errors import StreamingQueryException

    from recsys import queries
    from recsys.features import rebuild

    with pytest.raises(RefusedError, match=r"features\.k was 5, now 3.*jobs/rebuild\.py"):
        shop.stream(shop.new)
    with pytest.MonkeyPatch.context() as patch:  # before its first batch
        patch.setattr(queries, "start", killed)
        with pytest.raises(KeyError, match="killed"):
            shop.rebuild()
    with watched(shop, "finish"), pytest.raises(StreamingQueryException, match="killed"):
        shop.rebuild()  # midway: the rows of a batch are there, its account is not
    shop.check(OLD, epoch=0)
    shop.arrive(5)
    shop.stream(shop.old)  # which runs on meanwhile
    shop.check(OLD, epoch=0)
    with pytest.MonkeyPatch.context() as patch, watched(shop):  # all is there but for the switch
        patch.setattr(rebuild, "_switch", killed)
        with pytest.raises(KeyError, match="killed"):
            shop.rebuild()
    shop.check(OLD, epoch=0)
    assert set(shop.seen) == {0}
    assert shop.rebuild() == 1
    shop.check(NEW, epoch=1)
    batches = shop.warehouse.view().read(BATCHES).where("epoch = 1").select("query", "batch").collect()
    assert sorted(map(tuple, batches)) == [("rebuild", 0), *(("user_profiles", number) for number in range(3))]
    goes_on(shop)
    newest_is_chosen(shop)


def goes_on(shop: Shop) -> None:
    """After the switch: the old stream is told, the new one goes on from the checkpoint of the rebuild."""
    from recsys.features.stream import Profiles

    assert shop.rebuild() == 1  # there is nothing to do
    known = list(shop.known)
    shop.arrive(10)
    write = Profiles(warehouse=shop.warehouse, settings=shop.old, epoch=0, pending=None, serving=True)
    with pytest.raises(RefusedError, match=r"readers see epoch 1 of 'user_profiles'.* this stream writes epoch 0"):
        write(shop.warehouse.spark.range(1), 9)
    with pytest.raises(RefusedError, match=r"features\.k was 3, now 5"):
        shop.stream(shop.old)
    shop.check(NEW, 1, known)
    shop.stream(shop.new)
    shop.check(NEW, 1)


def newest_is_chosen(shop: Shop) -> None:
    """A rebuild with the same settings is gone on with, one with others is left alone; a lost checkpoint is named."""
    from recsys import checkpoints
    from recsys.features.rebuild import _next_epoch
    from recsys.features.stream import QUERY, rests_on, serving_checkpoint

    root, spark = shop.old.checkpoints, shop.warehouse.spark
    assert _next_epoch(shop.warehouse, shop.new, 1) == 2
    checkpoints.agree(spark, checkpoints.checkpoint(shop.warehouse, root, QUERY, epoch=2), rests_on(shop.old))
    assert _next_epoch(shop.warehouse, shop.old, 1) == 2
    assert _next_epoch(shop.warehouse, shop.new, 1) == 3
    shutil.rmtree(checkpoints.path_of(root, QUERY, 1))
    with pytest.raises(RefusedError, match=r"epoch=1', the checkpoint behind what readers see.* is gone"):
        serving_checkpoint(shop.warehouse, shop.new)
