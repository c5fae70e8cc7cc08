"""The two populations under which throughput is measured."""

from __future__ import annotations

import gzip
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import md5
from pathlib import Path

import numpy as np
from pyspark.sql import functions as F

from benchmarks._pipeline import Pipeline
from benchmarks._scaling import events
from recsys import queries
from recsys.pseudonyms import pseudonymiser
from recsys.simulate.settings import SimulateSettings
from recsys.simulate.shop import open_shop
from recsys.simulate.write import write_days

DAYS = 3
FILES = 4  # of the source in a micro-batch: a day
PER_DAY = 200_000
KINDS = ("view", "view", "click", "cart", "purchase")  # all are engaged
PRICES, ITEMS = 9000, 5500
FIRST = datetime(2025, 3, 3)
STEP_US = 1_000_000  # between two of the behaviours before


@dataclass(frozen=True)
class Population(ABC):
    """Who the events are of."""

    name: str
    users: int
    events_files: int  # of `events` in a micro-batch: at most what a day of the source becomes
    per_day: int = PER_DAY

    def smaller(self) -> Population:
        """A tenth, to try the benchmark."""
        return replace(self, users=self.users // 10, per_day=self.per_day // 10)

    @property
    @abstractmethod
    def about(self) -> str:
        """The population in words."""

    @abstractmethod
    def write(self, folder: Path, seed: int) -> int:
        """The source's files below `folder`/events; returns the number of lines."""

    @abstractmethod
    def prepare(self, own: Pipeline) -> None:
        """What has happened before the measured events."""


class Simulated(Population):
    """The simulated shop: sessions, lists, late and broken lines, few behaviours of many users."""

    @property
    def about(self) -> str:
        """In words."""
        return f"simulated shop, {DAYS} days, {self.users} users"

    def write(self, folder: Path, seed: int) -> int:
        """Days of the shop, in FILES files each."""
        shop = SimulateSettings(seed=seed, users=self.users, events_per_day=self.per_day)
        return sum(day.lines for day in write_days(open_shop(shop), folder, 1, DAYS))

    def prepare(self, own: Pipeline) -> None:
        """Nothing."""


class Uniform(Population):
    """Every event is of a user drawn from all alike; half of the users have K behaviours before the first event."""

    @property
    def about(self) -> str:
        """In words."""
        return f"{DAYS} days, {self.users} users drawn alike, half of them with K behaviours before"

    def write(self, folder: Path, seed: int) -> int:
        """Engaged behaviours alone, in the order of their time."""
        (folder / "events").mkdir(parents=True)
        random, each = np.random.default_rng(seed), self.per_day // FILES
        for part in range(DAYS * FILES):
            users, items = random.integers(self.users, size=each), random.integers(ITEMS, size=each)
            prices = random.integers(1, PRICES, size=each)
            step = timedelta(days=1) / FILES / each
            begin = FIRST + part * each * step
            rows = zip(users.tolist(), items.tolist(), prices.tolist(), strict=True)
            lines = (line(part * each + n, begin + n * step, *row) for n, row in enumerate(rows))
            with gzip.open(folder / "events" / f"{part:03}.json.gz", "wt", encoding="utf-8", compresslevel=6) as file:
                file.writelines(lines)
        return DAYS * FILES * each

    def prepare(self, own: Pipeline) -> None:
        """K behaviours of every second user, through the second query."""
        spark, k = own.warehouse.spark, own.settings.features.k
        hashed = pseudonymiser(own.settings.pseudonym_key_file)
        known = [(md5(f"user {n}".encode()).hexdigest(), hashed(f"u{n}")) for n in range(0, self.users, 2)]
        names = spark.createDataFrame(known, "user_id string, pseudonym string")
        ids = spark.range(0, len(known) * k, 1, 2)
        made = events(ids, 2 * F.floor(F.col("id") / k), 0, STEP_US).join(F.broadcast(names), "user_id")
        own.add_events(made.withColumn("user_id", F.col("pseudonym")))
        queries.wait([own.profiles()])


def line(number: int, at: datetime, user: int, item: int, price: int) -> str:
    """One event as the simulated shop writes them."""
    moment = at.isoformat(timespec="milliseconds") + "Z"
    row = {
        "id": f"e{number}",
        "ts": moment,
        "user": f"u{user}",
        "session": f"s{user}",
        "type": KINDS[number % len(KINDS)],
    }
    row |= {"item": f"i{item}", "price": f"{price / 100:.2f}", "qty": "1", "device": "phone", "sent_at": moment}
    return json.dumps(row) + "\n"


POPULATIONS: tuple[Population, ...] = (
    Simulated("simulated", 100_000, events_files=4),  # two of the day itself, others of days that lines are late for
    Uniform("uniform", 10_000, events_files=2),
)
