"""Parity: streamed logs against the naive oracle, after each batch and, in every way of computing features, after all.

One stream carries several logs in disjoint id spaces. Every comparison is counted; what differs is kept by its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from recsys.config import Settings, parse
from recsys.events.mapping import Mapping as Source
from recsys.features.definitions import profile_features_of
from recsys.features.history import from_arrow
from recsys.features.kept import texts_of
from recsys.features.keyed import Texts
from recsys.pseudonyms import pseudonymiser
from tests.events.streaming import KEY, ingested
from tests.features import oracle
from tests.features.declared import Value, lifetime_values
from tests.features.shop import micros, moment
from tests.parity.logs import MAPPING, RETENTION, Line, batches, lines
from tests.parity.points import FEATURES, HOURS, Found, K, Known, moments, of_rows, of_user

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from recsys.io import Warehouse


@dataclass(frozen=True)
class Stream:
    """A warehouse and what both queries need."""

    warehouse: Warehouse
    settings: Settings
    source: Source
    folder: Path

    def run(self, batch: Sequence[Line], number: int) -> None:
        """Write the batch as a file and read it."""
        (self.folder / "in" / f"{number:03}.json").write_text("".join(line.json() + "\n" for line in batch))
        self.read()

    def read(self) -> None:
        """Run both queries until they have read all that there is."""
        from recsys import queries
        from recsys.features.stream import QUERY, profiles_stream

        ingested(self.warehouse.spark, self.source, self.settings)
        point = queries.checkpoint(self.warehouse, self.settings.checkpoints, QUERY)
        rows, write = profiles_stream(self.warehouse, self.settings, point)
        started = queries.start(rows, write, name=QUERY, point=point, trigger=queries.AVAILABLE_NOW, mode="update")
        queries.wait([started])

    def rows(self, users: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The newest rows of these users, as the source calls them, and their `history` as the models read it."""
        hashed = pseudonymiser(self.settings.pseudonym_key_file)
        names = {hashed(user): user for user in users}
        told = self.profiles(list(names))
        return {
            names[user]: row | {"history": from_arrow(row["recent_arrow"], oracle.NAMES), "texts": texts_in(row)}
            for user, row in told.items()
        }

    def profiles(self, users: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The newest rows of these users (pseudonyms), with `recent` also as Arrow has it."""
        from pyspark.sql import functions as F

        from recsys.features.definitions import profiles_table

        asked = self.warehouse.spark.createDataFrame([(user,) for user in users], "user_id string")
        rows = self.warehouse.view().latest(profiles_table(FEATURES)).join(F.broadcast(asked), "user_id").toArrow()
        recent = rows["recent"].combine_chunks()
        return {
            row["user_id"]: row | {"recent_arrow": recent.slice(place, 1)} for place, row in enumerate(rows.to_pylist())
        }


def texts_in(row: dict[str, Any]) -> Texts:
    """What the row holds of each behaviour beside `recent`."""
    return {text: pa.array(row[f"recent_{text}"], pa.string()) for text in texts_of(FEATURES.user)}


def opened(spark: SparkSession, folder: Path) -> Stream:
    """An empty warehouse in `folder`."""
    from recsys.io import Warehouse

    (folder / "in").mkdir(parents=True)
    (folder / "key").write_text(KEY)
    settings = Settings(
        warehouse=f"{folder}/w", checkpoints=f"{folder}/c", source=f"{folder}/in", features=FEATURES,
        pseudonym_key_file=f"{folder}/key",
    )  # fmt: skip
    limits = settings.stream.model_copy(update={"retention_days": RETENTION, "max_events_files": 10_000})
    settings = settings.model_copy(update={"stream": limits})
    return Stream(Warehouse(spark, settings.warehouse), settings, parse(Source, MAPPING, "parity"), folder)


def run(spark: SparkSession, folder: Path, logs: int, size: int, rounds: int, seed: int, points: int) -> Found:
    """Stream `logs` logs of about `size` events in `rounds` batches and compare about `points` points of each log."""
    stream, known, found, random = opened(spark, folder), Known(), Found(), Random(seed)
    made = [lines(f"s{seed}l{number}", seed, size) for number in range(logs)]
    for number, batch in enumerate(batches(made, rounds, seed)):
        touched = sorted(known.add(batch))
        stream.run(batch, number)
        after_batch(stream, known, found, random.sample(touched, min(len(touched), 5 * logs)), number)
    known.sort()
    accounted(stream, known, found)
    users = random.sample(sorted(known.of_user), min(len(known.of_user), 12 * logs))
    after_all(stream, known, found, users, points * logs // len(users), random)
    backfilled(stream, found)
    items = random.sample(sorted(known.of_item), min(len(known.of_item), 12 * logs))
    of_items(stream, known, found, items)
    return found


def after_batch(stream: Stream, known: Known, found: Found, users: Sequence[str], number: int) -> None:
    """The row of version b is the oracle's over the events that are known by b, at the row's own time."""
    rows = stream.rows(users)
    for user in users:
        mine = known.of_user[user]
        recent, at = oracle.state(mine, user, K), max(e.time for e in mine)
        row = rows[user]
        wanted: dict[str, Value] = {"as_of": at, "ids": ",".join(e.id for e in recent)}  # type: ignore[dict-item]
        told: dict[str, Value] = {"as_of": micros(row["as_of"]), "ids": ",".join(r["event_id"] for r in row["recent"])}  # type: ignore[dict-item]
        if told != wanted:
            found.wrong.append(f"state after batch {number} of {user}")
        values = oracle.user_values(recent, at, FEATURES) | lifetime_values(mine, FEATURES.user)
        found.compare("after its batch", row, values, (user, number))


def after_all(stream: Stream, known: Known, found: Found, users: Sequence[str], count: int, random: Random) -> None:
    """As the server and the training compute them."""
    rows = stream.rows(users)
    for user in users:
        mine = known.of_user[user]
        row, asked = rows[user], sorted(moments(mine, count, random))
        of_user(found, mine, row["history"], row["texts"], asked, FEATURES)


def accounted(stream: Stream, known: Known, found: Found) -> None:
    """in = accepted + duplicate + rejected, as planted."""
    from tests.events.streaming import accounting

    told = accounting(stream.warehouse.view())
    wanted = tuple(known.counts[name] for name in ("rows_in", "accepted", "duplicate", "rejected"))
    found.points["accounting"] += 1
    if told != wanted:
        found.wrong.append(f"accounting: found {told}, wanted {wanted}")


def backfilled(stream: Stream, found: Found) -> None:
    """Every streamed profile equals the one that is computed from all of `events` at once, to the bit."""
    from pyspark.sql import functions as F

    from recsys.features.definitions import profiles_table
    from recsys.features.state import user_profiles
    from recsys.tables import EVENTS

    view = stream.warehouse.view()
    names = [*(f.name for f in profile_features_of(FEATURES)), "user_id", "as_of", "recent", "spend_minor"]
    whole = F.to_json(F.struct(*names, "first_time"))  # Spark compares no maps
    streamed = view.latest(profiles_table(FEATURES)).select(whole)
    at_once = user_profiles(view.read(EVENTS), stream.settings).select(whole)
    users, differing = streamed.count(), streamed.exceptAll(at_once).count() + at_once.exceptAll(streamed).count()
    found.points["backfilled"] += users
    if differing:
        found.wrong.append(f"backfilled: {differing} rows of {users} users differ")


def of_items(stream: Stream, known: Known, found: Found, items: Sequence[str]) -> None:
    """Items at full hours: from `events`, and from the tiles that the stream wrote."""
    from pyspark.sql import functions as F

    from recsys.features.spark import item_features
    from recsys.tables import EVENTS, ITEM_TILES, ITEMS

    spark, view = stream.warehouse.spark, stream.warehouse.view()
    hours = spark.createDataFrame([(moment(hour),) for hour in HOURS], "hour timestamp")
    catalogue = spark.createDataFrame([], ITEMS.ddl)
    ways = {"items from events": view.read(EVENTS), "items from tiles": view.read(ITEM_TILES)}
    for way, source in ways.items():
        rows = item_features(source, catalogue, hours, stream.settings).where(F.col("item_id").isin(*items))
        told = {(row["item_id"], micros(row["hour"])): row for row in rows.toArrow().to_pylist()}
        of_rows(found, way, known, told, items, HOURS)
