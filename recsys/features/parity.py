"""The stored features of a sample beside the same computed anew from `events`: what differs, by feature. Spark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import get_args

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.config import Settings
from recsys.features.covered import wanted
from recsys.features.definitions import (
    item_features_of,
    names,
    profile_features_of,
    profiles_table,
)
from recsys.features.feature import Feature, Scalar
from recsys.features.snapshots import history
from recsys.features.spark import item_features
from recsys.features.state import user_profiles
from recsys.features.stored import stored_item_features
from recsys.io import View, Warehouse
from recsys.tables import EVENTS, ITEM_FEATURES, ITEMS, PARITY

JOB = "parity"
BUCKETS = 1_000_000
RELATIVE, ABSOLUTE = 1e-9, 1e-12  # what doubles of the same numbers may differ by
HOURS = 2  # hours of the day whose item features are computed anew
STORED, ANEW = "stored", "anew"
KINDS = ("mismatch", "missing", "extra")


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One feature of `rows` rows. `stale` rows lack events that `events` has, and are not compared."""

    table: str
    feature: str
    rows: int
    stale: int
    mismatch: int  # both have a value and it differs
    missing: int  # only the value computed anew is there
    extra: int  # only the stored one is

    @property
    def rates(self) -> dict[str, float]:
        """Each of KINDS as a share of the compared rows; empty where none was compared."""
        return {kind: getattr(self, kind) / self.rows for kind in KINDS} if self.rows else {}


def compare(warehouse: Warehouse, settings: Settings, day: date) -> list[Compared]:
    """All features: of the sampled users' newest profiles, and of all items at HOURS hours of the UTC day.

    Users are drawn by a hash of their pseudonym and of the day, evaluate.parity of them. Items are left out where the
    day has not been backfilled with the present events.
    """
    view = warehouse.view()
    found = list(_profiles(view, settings, day))
    if view.has(ITEM_FEATURES) and not wanted(view, settings.features, [day]):
        found += _items(view, settings, day)
    return found


def write(warehouse: Warehouse, day: date, found: Sequence[Compared]) -> None:
    """Append a row a feature to `parity`, counts and rates."""
    started, commit = datetime.now(timezone.utc), warehouse.next_batch(JOB)
    rows = [
        (day, c.table, c.feature, c.rows, c.stale, c.mismatch, c.missing, c.extra, *map(c.rates.get, KINDS))
        for c in found
    ]
    frame = warehouse.spark.createDataFrame([(*row, commit.epoch, commit.batch) for row in rows], PARITY.ddl)
    version = warehouse.write(PARITY, frame, commit)
    warehouse.finish(commit, {PARITY.name: version}, started)


def _profiles(view: View, settings: Settings, day: date) -> Iterator[Compared]:
    features = profile_features_of(settings.features)
    lucky = F.abs(F.xxhash64("user_id", F.lit(day.toordinal()))) % BUCKETS < settings.evaluate.parity * BUCKETS
    stored = view.latest(profiles_table(settings.features)).where(lucky)
    anew = user_profiles(view.read(EVENTS).where(lucky), settings)
    total = F.aggregate(F.map_values("counts"), F.lit(0).cast("bigint"), lambda one, other: one + other)
    both = _joined(stored, anew, ["user_id"], features, total)
    yield from _counted(both, profiles_table(settings.features).name, features)


def _items(view: View, settings: Settings, day: date) -> Iterator[Compared]:
    first = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
    hours = [first + timedelta(hours=(day.toordinal() * 7 + 24 // HOURS * n) % 24) for n in range(HOURS)]
    frame = view.warehouse.spark.createDataFrame([(hour,) for hour in hours], "hour timestamp")
    declared = item_features_of(settings.features)
    past = history(view.read(EVENTS), min(hours), max(hours), declared)
    anew = item_features(past, view.read(ITEMS), frame, settings)
    stored = stored_item_features(view, settings.features, day, day).where(F.col("hour").isin(hours))
    both = _joined(stored, anew, ["item_id", "hour"], declared, F.lit(0))
    yield from _counted(both, ITEM_FEATURES.name, declared)


def _joined(
    stored: DataFrame, anew: DataFrame, key: Sequence[str], features: Sequence[Feature], total: Column
) -> DataFrame:
    """Full outer join: the features as structs STORED and ANEW, and whether the stored row is stale."""
    sides = (
        side.select(*key, F.struct(*names(tuple(features))).alias(name), total.alias(f"{name}_total"))
        for side, name in ((stored, STORED), (anew, ANEW))
    )
    left, right = sides
    stale = F.coalesce(F.col(f"{STORED}_total") < F.col(f"{ANEW}_total"), F.lit(False))
    return left.join(right, list(key), "full_outer").withColumn("stale", stale)


def _counted(both: DataFrame, table: str, features: Sequence[Feature]) -> Iterator[Compared]:
    # A row for each value, so that the aggregate does not grow with the number of features.
    values = F.array(
        *(
            F.struct(
                F.lit(f.name).alias("feature"),
                F.lit(f.type == "double").alias("rounded"),
                _number(F.col(STORED)[f.name], f).alias(STORED),
                _number(F.col(ANEW)[f.name], f).alias(ANEW),
            )
            for f in features
        )
    )
    fresh, kinds = ~F.col("stale"), _kinds(F.col(STORED), F.col(ANEW))
    counts = [F.count_if(fresh & is_).alias(kind) for kind, is_ in kinds.items()]
    found = both.select("stale", F.inline(values)).groupBy("feature")
    rows = found.agg(F.count_if(fresh).alias("rows"), F.count_if("stale").alias("stale"), *counts).collect()
    told = {row["feature"]: row.asDict() for row in rows}  # one row a feature
    nothing = dict.fromkeys(("rows", "stale", *kinds), 0)
    for f in features:
        yield Compared(table=table, **{"feature": f.name, **nothing, **told.get(f.name, {})})


def _number(value: Column, feature: Feature) -> Column:
    """The value, or a hash of a list or map, as a double."""
    if feature.type in get_args(Scalar):
        return value.cast("double")
    # A map has no order, and no hash of its own.
    listed = F.array_sort(F.map_entries(value)) if feature.type.startswith("map") else value
    hashed = F.xxhash64(F.to_json(F.struct(listed.alias("value"))))
    return F.when(value.isNotNull(), hashed).cast("double")


def _kinds(stored: Column, anew: Column) -> dict[str, Column]:
    size = F.greatest(F.abs(stored), F.abs(anew))
    near = F.abs(stored - anew) <= F.greatest(RELATIVE * size, F.lit(ABSOLUTE))
    there, expected = stored.isNotNull(), anew.isNotNull()
    return {
        "mismatch": there & expected & ~((F.col("rounded") & near) | (stored == anew)),
        "missing": ~there & expected,
        "extra": there & ~expected,
    }
