"""The query that writes profiles: equal to the oracle after every batch, and after a kill at each point of a batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from recsys.config import FeatureSettings, Settings
from recsys.features.definitions import profile_features_of, profiles_table
from recsys.features.kept import texts_of
from recsys.tables import BATCHES, USER_EMBEDDINGS, Table
from tests.features import oracle
from tests.features.declared import lifetime_values
from tests.features.logs import AT, CATEGORIES, EDGES, EVERY_KIND, FADING, KEYED, LIFETIME, QUERIES
from tests.features.oracle import NAMES, Event, S
from tests.features.shop import append_events, micros

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import SparkSession

    from recsys.features.stream import Derive
    from recsys.io import Warehouse

K = 5
FEATURES = FeatureSettings(k=K, user=EVERY_KIND)
WHOLE = FeatureSettings(k=K, user=EVERY_KIND + KEYED + LIFETIME + FADING)
ALL_FILES = 1000


def log(seed: int, size: int) -> list[Event]:
    """Events of four users and of nobody in arrival order, which is unrelated to their time."""
    random = Random(seed)
    return [
        Event(
            id=f"e{number:03}",
            user=random.choice(["u", "v", "w", "x", None]),
            time=random.choice(EDGES) if random.random() < 0.5 else AT - random.randrange(9 * 86_400 * S),
            behaviour=random.choice(NAMES),
            item=random.choice(["a", "b", None]),
            price=random.choice([None, 0, 999]),
            quantity=random.randrange(1, 4),
            value=random.choice([None, 0.5, 4.0]),
            query=random.choice(QUERIES),
            category=random.choice(CATEGORIES),
        )
        for number in random.sample(range(1000), size)
    ]


@dataclass(frozen=True)
class Shop:
    """A warehouse in a folder, and its query."""

    warehouse: Warehouse
    settings: Settings

    def run(self, derive: Derive | None = None) -> None:
        """All events that the query does not know yet, as one batch."""
        from recsys import queries
        from recsys.features.stream import QUERY, profiles_stream

        point = queries.checkpoint(self.warehouse, self.settings.checkpoints, QUERY)
        rows, write = profiles_stream(self.warehouse, self.settings, point, derive)
        started = queries.start(rows, write, name=QUERY, point=point, trigger=queries.AVAILABLE_NOW, mode="update")
        queries.wait([started])

    def profiles(self) -> dict[str, dict[str, Any]]:
        """The newest committed row of each user."""

        rows: list[dict[str, Any]] = (
            self.warehouse.view().latest(profiles_table(self.settings.features)).toArrow().to_pylist()
        )
        found = {row["user_id"]: row for row in rows}
        assert len(found) == len(rows)
        return found

    def versions(self) -> list[tuple[str, int]]:
        """(user, batch) of every row of the table, committed or not."""

        frame = self.warehouse.spark.read.format("delta").load(
            self.warehouse.path(profiles_table(self.settings.features))
        )
        return sorted((row["user_id"], row["batch"]) for row in frame.collect())

    def accounted(self) -> list[tuple[int, int, int]]:
        """(batch, rows in, accepted) of the query."""
        from recsys.features.stream import QUERY

        rows = self.warehouse.view().read(BATCHES).where(f"query = '{QUERY}'").orderBy("batch").collect()
        return [(row["batch"], row["rows_in"], row["accepted"]) for row in rows]


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Shop:
    from recsys.io import Warehouse

    settings = Settings(features=FEATURES, checkpoints=f"{tmp_path}/c", warehouse=f"{tmp_path}/w")
    stream = settings.stream.model_copy(update={"max_events_files": ALL_FILES})
    return Shop(Warehouse(spark, settings.warehouse), settings.model_copy(update={"stream": stream}))


def users(events: Sequence[Event]) -> set[str]:
    return {event.user for event in events if event.user}


def check(shop: Shop, known: Sequence[Event]) -> None:
    """Every profile equals the oracle's over all events so far."""
    found, features = shop.profiles(), shop.settings.features
    assert found.keys() == users(known)
    for user, row in found.items():
        mine = [e for e in known if e.user == user]
        recent = oracle.state(known, user, K)
        assert [r["event_id"] for r in row["recent"]] == [e.id for e in recent], user
        for text in texts_of(features.user):
            assert row[f"recent_{text}"] == oracle.texts([recent])[text].to_pylist(), user
        assert micros(row["as_of"]) == max(e.time for e in mine)
        assert dict(row["counts"]) == {name: sum(e.behaviour == name for e in mine) for name in NAMES}
        wanted = oracle.user_values(recent, max(e.time for e in mine), features) | lifetime_values(mine, features.user)
        for feature in profile_features_of(features):
            assert oracle.agree(row[feature.name], wanted[feature.name]), (user, feature.name)


def test_after_each_batch_the_newest_rows_equal_the_oracle(shop: Shop) -> None:
    """With features of every kind, lists, maps and lifetime numbers among them."""
    shop = replace(shop, settings=shop.settings.model_copy(update={"features": WHOLE}))
    events = log(1, 60)
    parts = [events[:25], [e for e in events[25:] if e.user != "u"]]
    for number, part in enumerate(parts):
        append_events(shop.warehouse, part, number)
        shop.run()
        check(shop, [event for known in parts[: number + 1] for event in known])
    touched = [(number, len(users(part)), len(users(part))) for number, part in enumerate(parts)]
    assert shop.accounted() == touched
    # A batch appends the users that it touched, and only these: u is as it was.
    assert shop.versions() == sorted((user, number) for number, part in enumerate(parts) for user in users(part))
    assert shop.profiles()["u"]["batch"] == 0


@pytest.mark.parametrize("kill", ["before the table", "after the table", "after the batch's row"])
def test_a_batch_killed_on_its_way_is_replayed_once(shop: Shop, kill: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kill leaves the checkpoint behind; the last two also leave rows that Delta refuses to write again."""
    from pyspark.errors import StreamingQueryException

    from recsys.io import Warehouse

    events = log(2, 75)
    first, second, third = events[:25], events[25:50], events[50:]
    append_events(shop.warehouse, first, 0)
    shop.run()
    append_events(shop.warehouse, second, 1)
    finish, write = Warehouse.finish, Warehouse.write

    def broken_finish(self: Warehouse, *args: Any, **kwargs: Any) -> None:
        if kill == "after the batch's row":
            finish(self, *args, **kwargs)
        raise KeyError("killed")

    def broken_write(self: Warehouse, *args: Any, **kwargs: Any) -> int:
        raise KeyError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(
            Warehouse, *(("write", broken_write) if kill == "before the table" else ("finish", broken_finish))
        )
        with pytest.raises(StreamingQueryException, match="killed"):
            shop.run()
    assert Warehouse.write is write
    if kill != "after the batch's row":
        check(shop, first)  # what was not committed is not seen
    shop.run()
    check(shop, first + second)
    append_events(shop.warehouse, third, 2)
    shop.run()
    check(shop, events)  # the state knows the replayed batch
    parts = list(enumerate((first, second, third)))
    assert shop.accounted() == [(number, len(users(part)), len(users(part))) for number, part in parts]
    assert shop.versions() == sorted((user, number) for number, part in parts for user in users(part))


def test_what_is_derived_from_a_batch_is_committed_with_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here a vector of one number, how many behaviours the user has; a kill before the batch's row hides both."""
    from pyspark.errors import StreamingQueryException
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F

    from recsys.io import Warehouse

    def sizes(profiles: DataFrame) -> dict[Table, DataFrame]:
        vector = F.array(F.size("recent").cast("float")).alias("vector")
        made = profiles.select("user_id", F.lit("b").alias("bundle"), vector, "as_of", F.lit("m").alias("made_by"))
        return {USER_EMBEDDINGS: made.withColumns({name: F.lit(7) for name in ("epoch", "batch")})}

    def vectors() -> list[tuple[str, float]]:
        rows = shop.warehouse.view().read(USER_EMBEDDINGS).collect()
        return sorted((row["user_id"], row["vector"][0]) for row in rows)

    def killed(self: Warehouse, *args: Any, **kwargs: Any) -> None:
        raise KeyError("killed")

    events = log(3, 50)
    append_events(shop.warehouse, events[:25], 0)
    shop.run(sizes)
    first = sorted((user, float(len(oracle.state(events[:25], user, K)))) for user in users(events[:25]))
    assert vectors() == first
    append_events(shop.warehouse, events[25:], 1)
    with monkeypatch.context() as patch:
        patch.setattr(Warehouse, "finish", killed)
        with pytest.raises(StreamingQueryException, match="killed"):
            shop.run(sizes)
    assert vectors() == first
    shop.run(sizes)
    second = [(user, float(len(oracle.state(events, user, K)))) for user in users(events[25:])]
    assert vectors() == sorted(first + second)
