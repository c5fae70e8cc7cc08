from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recsys.config import FeatureSettings, Settings
from recsys.encoder.dataset import sequences
from recsys.encoder.order import read_sequences
from recsys.errors import NoDataError
from recsys.tables import EVENTS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAY = datetime(2026, 3, 2, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
SETTINGS = Settings(features=FeatureSettings(k=4, bot_events_per_10m=5, bot_min_events=4, bot_median_gap_s=1.0))
Event = tuple[str | None, str, str | None, datetime, datetime]  # user, behaviour, item, event time, known at


def log() -> list[Event]:
    """Users: old (before the day), busy (both days), late (old events that came today), once, shown, bot, none."""
    made: list[Event] = []

    def add(user: str | None, item: str | None, hours: float, behaviour: str = "view", late: float = 0) -> None:
        made.append((user, behaviour, item, DAY + hours * HOUR, DAY + (hours + late) * HOUR))

    for hour, item in ((-9, "a"), (-8, "b"), (-7, "c")):
        add("old", item, hour)
        add("busy", item, hour)
        add("late", item, hour, late=12)
        add(None, item, hour)
    for hour, item in ((0, "d"), (1, "e"), (30, "f")):
        add("busy", item, hour)
    add("once", "a", -3)
    add("shown", "a", -3)
    add("shown", "b", -2, "impression")
    for n in range(4):
        add("bot", "a", -2 + n / 7200)  # half a second apart
    add("searcher", None, -4, "search")
    add("searcher", "b", -3, "purchase")
    return made


@pytest.fixture(scope="module")
def events(spark: SparkSession) -> DataFrame:
    rows = []
    for number, (user, behaviour, item, time, known) in enumerate(log()):
        row = {
            "event_id": f"{number:03}", "event_time": time, "behaviour": behaviour, "item_id": item, "quantity": 1,
            "user_id": user, "known_at": known,
        }  # fmt: skip
        rows.append(tuple(row.get(name) for name in EVENTS.names))
    return spark.createDataFrame(rows, EVENTS.ddl).cache()


def found(frame: DataFrame) -> dict[str, str]:
    """User -> items in order, `-` for none."""
    assert frame.columns == ["user_id", "recent"]
    rows = frame.toArrow().to_pylist()
    assert len({row["user_id"] for row in rows}) == len(rows)
    return {row["user_id"]: "".join(step["item_id"] or "-" for step in row["recent"]) for row in rows}


def test_sequences_end_before_the_moment_and_leave_bots_out(events: DataFrame) -> None:
    # The end is open: `d` comes at DAY itself.
    assert found(sequences(events, SETTINGS, DAY)) == {"old": "abc", "busy": "abc", "late": "abc", "searcher": "-b"}
    assert found(sequences(events, SETTINGS, DAY + 48 * HOUR))["busy"] == "cdef"  # the last K


def test_with_since_only_users_with_something_newly_known_remain(events: DataFrame) -> None:
    assert found(sequences(events, SETTINGS, DAY + 2 * HOUR, DAY)) == {"busy": "bcde", "late": "abc"}
    # Of `late`, the newest became known at that very moment: the start is closed.
    assert found(sequences(events, SETTINGS, DAY + 2 * HOUR, DAY + 5 * HOUR)) == {"late": "abc"}


def test_written_sequences_are_read_in_the_order_of_the_users(events: DataFrame, tmp_path: Path) -> None:
    folder = str(tmp_path / "sequences")
    sequences(events, SETTINGS, DAY).repartition(3).write.parquet(folder)
    h = read_sequences(folder, tuple(SETTINGS.behaviours))
    words = [
        "".join(h.items[i] if i >= 0 else "-" for i in h.item[a:b])
        for a, b in zip(h.offsets, h.offsets[1:], strict=False)
    ]
    assert words == ["abc", "abc", "abc", "-b"]  # busy, late, old, searcher
    assert h.time[0] == int((DAY - 9 * HOUR).timestamp()) * 1_000_000
    names = tuple(SETTINGS.behaviours)
    assert [names[code] for code in h.behaviour[-2:]] == ["search", "purchase"]


def test_no_sequence_is_no_data(events: DataFrame, tmp_path: Path) -> None:
    folder = str(tmp_path / "none")
    sequences(events, SETTINGS, DAY - 100 * HOUR).write.parquet(folder)
    with pytest.raises(NoDataError, match="no user has two behaviours to learn from"):
        read_sequences(folder, tuple(SETTINGS.behaviours))
