"""The backfill of item features: a new day and late rows of the week before, beside all thirty days from nothing."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks._pipeline import pipeline, session
from benchmarks._record import FEWEST, Figure, Run, Timing, Value, main, once
from recsys import queries
from recsys.config import Settings
from recsys.errors import RecsysError
from recsys.events import catalogue
from recsys.events.mapping import Mapping
from recsys.features.backfill import backfill
from recsys.features.stored import stored_item_features
from recsys.io import Accounting, Commit, Warehouse
from recsys.simulate.settings import SimulateSettings
from recsys.simulate.shop import open_shop
from recsys.simulate.write import write_catalogue, write_days
from recsys.tables import EVENTS, ITEMS

DAYS = 30
WEEK = 7  # days before the new one in which its late rows lie, and before the first one that windows reach
LATE = 0.01  # late rows, as a share of the new day's
BUCKETS = 1_000_000


def arguments(parser: argparse.ArgumentParser) -> None:
    """The benchmark's own options."""
    parser.add_argument("--mapping", default=Settings().mapping, help="the simulated shop's mapping")
    parser.add_argument("--rate", type=int, default=SimulateSettings().events_per_day, help="lines a day of the shop")
    parser.add_argument("--items", type=int, default=SimulateSettings().items, help="items of the shop")


@dataclass(frozen=True)
class Shop:
    """Folders of tables: `before` lacks what arrives with the new day, `after` holds it; neither has item features."""

    spark: SparkSession
    folder: Path
    settings: Settings
    days: list[date]
    arriving: int
    items: int

    def place(self, name: str) -> Warehouse:
        """The tables below one of the folders."""
        return Warehouse(self.spark, str(self.folder / name))

    def copy(self, name: str, to: str) -> Warehouse:
        """The same tables, to change."""
        shutil.copytree(self.folder / name, self.folder / to)
        return self.place(to)

    def remove(self, name: str) -> None:
        """The folder is not needed any more."""
        shutil.rmtree(self.folder / name)

    def fill(self, warehouse: Warehouse, days: list[date]) -> None:
        """What jobs/backfill.py does."""
        for _ in backfill(warehouse, self.settings, days):
            pass


def measure(run: Run, asked: argparse.Namespace) -> None:
    """`increment_speedup` and `mismatches`, in one session."""
    with tempfile.TemporaryDirectory(prefix="recsys-bench-") as name:
        spark = session(Path(name))
        days = 3 if asked.quick else DAYS
        shop = made(spark, Path(name), asked, SimulateSettings(seed=run.seed), days)
        shop.copy("before", "covered")
        shop.fill(shop.place("covered"), shop.days[:-1])
        full, increments = [], []
        for n in range(FEWEST):
            anew = shop.copy("after", f"full {n}")
            full.append(once(lambda anew=anew: shop.fill(anew, shop.days)))  # type: ignore[misc]
            more = shop.copy("covered", f"more {n}")
            arrive(more, shop.place("after"), shop.place("before"))
            increments.append(once(lambda more=more: shop.fill(more, shop.days)))  # type: ignore[misc]
            if n + 1 < FEWEST:
                shop.remove(f"full {n}")
                shop.remove(f"more {n}")
        add(run, shop, Timing(tuple(full)), Timing(tuple(increments)), differing(shop, anew, more))
        spark.stop()


def made(spark: SparkSession, folder: Path, asked: argparse.Namespace, base: SimulateSettings, days: int) -> Shop:
    """The shop's events through the streaming query, then split into `before` and what arrives."""
    shop = open_shop(base.model_copy(update={"events_per_day": asked.rate, "items": asked.items}))
    last = WEEK + days
    for _ in write_days(shop, folder / "shop", 1, last):
        pass
    write_catalogue(shop, folder / "shop", last)
    own = pipeline(spark, folder / "streamed", asked.mapping, f"{folder}/shop/events")
    queries.wait([own.ingest()])
    events = own.warehouse.view().read(EVENTS)
    newest = base.start + timedelta(days=last - 1)
    held = arriving(events, newest, base.seed)
    for name, rows in (("before", events.where(~held)), ("after", events)):
        commit_all(Warehouse(spark, str(folder / name)), rows, own.mapping, folder / "shop" / "catalogue.jsonl.gz")
    wanted = [newest - timedelta(days=n) for n in reversed(range(days))]
    return Shop(spark, folder, own.settings, wanted, events.where(held).count(), asked.items)


def arriving(events: DataFrame, newest: date, seed: int) -> Column:
    """Whether a row comes with the day `newest`: the day's own, and late ones of the week before, drawn by their id."""
    week = F.col("event_date").between(F.lit(newest - timedelta(days=WEEK)), F.lit(newest - timedelta(days=1)))
    sizes = events.agg(F.count_if(F.col("event_date") == F.lit(newest)), F.count_if(week)).first()
    if sizes is None or not sizes[1]:
        raise RecsysError(f"the shop has no events in the week before {newest}: give it more lines a day.")
    lucky = F.abs(F.xxhash64("event_id", F.lit(seed))) % BUCKETS < int(BUCKETS * LATE * sizes[0] / sizes[1])
    return (F.col("event_date") == F.lit(newest)) | (week & lucky)


def commit_all(warehouse: Warehouse, events: DataFrame, mapping: Mapping, file: Path) -> None:
    """The events as one batch, and the catalogue."""
    append(warehouse, events.repartition("event_date"), 0)
    items = catalogue.continued(None, catalogue.from_file(warehouse.spark, mapping, str(file)))
    commit = Commit(query="catalogue", epoch=0, batch=0)
    version = warehouse.write(ITEMS, items, commit, mode="overwrite")
    warehouse.finish(commit, {ITEMS.name: version}, datetime.now(timezone.utc))


def append(warehouse: Warehouse, events: DataFrame, batch: int) -> None:
    """One batch of the query that writes `events`."""
    commit = Commit(query="events", epoch=0, batch=batch)
    version = warehouse.write(EVENTS, events, commit)
    warehouse.finish(commit, {EVENTS.name: version}, datetime.now(timezone.utc), Accounting())


def arrive(warehouse: Warehouse, after: Warehouse, before: Warehouse) -> None:
    """What `after` has and `before` lacks comes as one batch."""
    known = before.view().read(EVENTS).select("event_id")
    append(warehouse, after.view().read(EVENTS).join(known, "event_id", "left_anti").coalesce(2), 1)


def differing(shop: Shop, one: Warehouse, other: Warehouse) -> tuple[int, int]:
    """Rows of `item_features` that only one of the two has, in any column; and rows of the first."""
    ends = shop.days[0], shop.days[-1]
    left, right = (stored_item_features(place.view(), shop.settings.features, *ends) for place in (one, other))
    return left.exceptAll(right).count() + right.exceptAll(left).count(), left.count()


def add(run: Run, shop: Shop, full: Timing, increment: Timing, found: tuple[int, int]) -> None:
    """Both figures."""
    more: dict[str, Value] = {"items": shop.items}
    run.add(
        Figure(
            metric="increment_speedup",
            value=increment.median,
            unit="s",
            rows=shop.arriving,
            seconds=increment.median,
            peer=f"{len(shop.days)} days from nothing",
            peer_value=full.median,
            ratio=full.median / increment.median,
            more=more | {"note": f"one new day and {LATE:.0%} late rows of the {WEEK} days before"},
        )
    )
    run.add(
        Figure(
            metric="mismatches",
            value=found[0],
            unit="rows",
            rows=found[1],
            seconds=increment.median,
            more=more | {"note": "rows of item_features that only one of the two runs has"},
        )
    )


if __name__ == "__main__":
    sys.exit(main("backfill", __doc__ or "", measure, threads=2, arguments=arguments))
