"""A small log with random clicks and shown lists, for the examples' tests."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np

DAY = datetime(2026, 3, 2, tzinfo=timezone.utc)
USERS, CATALOGUE = 30, 12
LATE, BORN = "i3", DAY + timedelta(hours=6, minutes=30)
SOLD_OUT = "i4"  # from 15:00


# How many hours after a click it was known and ingested: at once, late, at once and late, loaded as history.
KNOWN: tuple[dict[str, int], ...] = (
    {},
    {"known_at": 3, "ingest_time": 4},
    {"known_at": 0, "ingest_time": 90},
    {"known_at": 90, "ingest_time": 90},
    {"known_at": 2, "ingest_time": 2},
)


def known_from(row: dict[str, Any]) -> datetime:
    """When a server could know an event: a load of history, told by nothing but the ingestion, counts as at once."""
    time: datetime = row["event_time"]
    known: datetime = row.get("known_at", time)
    return time if known - time == timedelta(hours=90) else known


def rows() -> list[dict[str, Any]]:
    """Thirty users, two days: a click an hour on random items, all with a price; every third click was shown.

    The lists of every fifth user tell no places.
    """
    random = np.random.default_rng(0)
    made: list[dict[str, Any]] = []
    for user in range(USERS):
        for hour in range(30):
            time = DAY - timedelta(days=1) + timedelta(hours=hour + 18 * (hour > 5), minutes=int(random.integers(60)))
            item = f"i{random.integers(CATALOGUE)}"
            told = KNOWN[len(made) % len(KNOWN)]
            came = {name: time + timedelta(hours=hours) for name, hours in told.items()}
            click = came | {
                "user_id": f"u{user}",
                "behaviour": "click",
                "item_id": item,
                "event_time": time,
                "quantity": 1,
            }
            shown = hour % 3 == 0
            request = f"r{user}-{hour}" if shown else None
            made.append(click | {"event_id": f"{user:02}-{hour:02}-9", "price_minor": 100, "request_id": request})
            for place in range(3 * shown):
                other = item if place == 1 else f"i{random.integers(CATALOGUE)}"
                made.append(
                    {
                        "user_id": f"u{user}",
                        "behaviour": "impression",
                        "item_id": other,
                        "event_time": time - timedelta(seconds=10),
                        "event_id": f"{user:02}-{hour:02}-{place}",
                        "request_id": request,
                        "position": place + 1 if user % 5 else None,
                    }
                )
    made.append({"behaviour": "click", "item_id": "i0", "event_id": "anonymous", "event_time": DAY})
    return made
