"""What is known of a log, what is asked about it, and what was found to differ from the oracle. No Spark.

The functions of the package are called through their modules, so that a test can plant a defect in one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from recsys.config import FeatureSettings
from recsys.features import keyed as keyed_side
from recsys.features import tiles as item_side
from recsys.features import user as user_side
from recsys.features.definitions import item_features_of, names
from recsys.features.history import Histories, Points
from recsys.features.keyed import Texts
from recsys.features.profile import keyed_of
from recsys.ranking import known as known_side
from tests.features import item_oracle, oracle
from tests.features.item_oracle import EVERY_ITEM
from tests.features.logs import EVERY_KIND, KEYED, LIFETIME
from tests.features.oracle import WINDOW, Event, S, Value
from tests.features.tiles import everyone_of, tiles_of
from tests.parity.logs import DAY, END, HOUR, SHIFTS, Line

K = 256
OF_USERS = EVERY_KIND + KEYED + LIFETIME
FEATURES = FeatureSettings(k=K, bot_events_per_10m=20, bot_min_events=30, user=OF_USERS, item=EVERY_ITEM)
OF_ITEMS = item_features_of(FEATURES)
HOURS = [END - n * HOUR for n in (0, 1, 2, 5, 12, 23, 24, 25, 47)]


@dataclass
class Found:
    """What was compared, and what differed."""

    points: Counter[str] = field(default_factory=Counter)  # (entity, t) points by the way that they were computed
    values: int = 0
    events: int = 0
    wrong: list[str] = field(default_factory=list)

    def compare(self, way: str, told: Mapping[str, Any], wanted: Mapping[str, Any], at: object) -> None:
        """One point: every wanted value."""
        self.points[way] += 1
        for name, value in wanted.items():
            self.values += 1
            if not item_oracle.agree(name, told[name], value):
                self.wrong.append(f"{way} {at} {name}: found {told[name]}, wanted {value}")


class Known:
    """The events that have been accepted so far, by user and by item."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.of_user: dict[str, list[Event]] = defaultdict(list)
        self.of_item: dict[str, list[Event]] = defaultdict(list)
        self.crowd: dict[str, list[int]] = defaultdict(list)  # times by behaviour
        self.counts: Counter[str] = Counter()

    def add(self, batch: Sequence[Line]) -> set[str]:
        """A batch more; the users that it touches."""
        touched: set[str] = set()
        for line in batch:
            e = line.event
            self.counts["rows_in"] += 1
            self.counts["rejected" if line.fault else "duplicate" if e.id in self.seen else "accepted"] += 1
            if line.fault or e.id in self.seen:
                continue
            self.seen.add(e.id)
            if e.user is not None:
                touched.add(e.user)
                self.of_user[e.user].append(e)
            if e.item is not None:
                self.of_item[e.item].append(e)
                self.crowd[e.behaviour].append(e.time)
        return touched

    def sort(self) -> Known:
        """Prepare for `everyone`."""
        self.crowd = defaultdict(list, {name: sorted(times) for name, times in self.crowd.items()})
        return self

    def everyone(self, low: int, high: int, kinds: Sequence[str]) -> int:
        """Behaviours of these kinds with any item in [low, high), after `sort`."""
        return sum(bisect_left(self.crowd[kind], high) - bisect_left(self.crowd[kind], low) for kind in kinds)


def moments(mine: Sequence[Event], count: int, random: Random) -> Iterator[int]:
    """Times to ask about: half of them where a behaviour enters or leaves a window ± 1 microsecond, ties, the K-th."""
    kth = sorted(mine, key=lambda e: (e.time, e.id))[-K:][0]
    for number in range(count):
        e = random.choice(mine)
        if number % 2:
            yield random.randrange(END - 10 * DAY, END + DAY)
        elif number % 8 == 0:
            yield kth.time + random.choice(SHIFTS)
        else:
            yield e.time + random.choice([0, 1800 * S, *WINDOW.values()]) + random.choice(SHIFTS)


def of_user(
    found: Found,
    mine: Sequence[Event],
    stored: Histories,
    texts: Texts,
    asked: Sequence[int],
    s: FeatureSettings,
) -> None:
    """Served from the stored state at each time t; learned from, as of strictly before t, over all of `mine`."""
    at = np.asarray(asked, dtype=np.int64)
    served = Points(start=np.zeros(len(at), np.int64), end=np.full(len(at), len(stored.time)), at=at)
    whole = oracle.histories([oracle.state(mine, "", len(mine))])
    past_of = known_side.as_known(whole, whole.time, np.zeros(len(at), dtype=np.int64), at, s.k)
    recent = oracle.state(mine, "", s.k)
    every = oracle.texts([oracle.state(mine, "", len(mine))])
    for way, h, p, said in (("served", stored, served, texts), ("learned from", past_of.h, past_of.points, every)):
        values: dict[str, list[Any]] = {
            name: array.tolist() for name, array in user_side.user_features(h, p, oracle.NAMES, s).items()
        }
        keyed = keyed_side.keyed_features(h, p, oracle.NAMES, keyed_of(s), said)
        values |= {name: array.to_pylist() for name, array in keyed.items()}
        for place, t in enumerate(asked):
            past = recent if way == "served" else oracle.state([e for e in mine if e.time < t], "", s.k)
            wanted = oracle.user_values(past, t, s)
            found.compare(way, {name: values[name][place] for name in wanted}, wanted, t)


def of_item(found: Found, known: Known, item: str, hours: Sequence[int]) -> None:
    """An item's features at full hours, from tiles of its events."""
    mine = known.of_item[item]
    at = np.asarray(hours, dtype=np.int64)
    tiles = tiles_of(mine, [item], 300 * S)
    points = Points(start=np.zeros(len(at), np.int64), end=np.full(len(at), len(tiles.tile)), at=at)
    first = np.full(len(at), min(e.time for e in mine) // HOUR * HOUR)
    prices = {name: np.full(len(at), np.nan) for name in oracle.price_values(None)}
    everyone = everyone_of(known.everyone, hours, OF_ITEMS)
    values = item_side.item_features(tiles, points, oracle.NAMES, oracle.ENGAGED, prices, first, everyone, OF_ITEMS)
    for place, hour in enumerate(hours):
        wanted = item_oracle.values(mine, item, hour, EVERY_ITEM, known.everyone)
        told = {name: values[name][place].item() for name in values}
        found.compare("items", told, {name: wanted[name] for name in told}, (item, hour))


def of_rows(
    found: Found,
    way: str,
    known: Known,
    told: Mapping[tuple[str, int], Mapping[str, Value]],
    items: Sequence[str],
    hours: Sequence[int],
) -> None:
    """Rows of items at full hours: those that should be there, and no others."""
    for item in items:
        for hour in hours:
            mine = known.of_item[item]
            wanted = item_oracle.values(mine, item, hour, EVERY_ITEM, known.everyone)
            row = told.get((item, hour))
            if (row is not None) != item_oracle.there(mine, item, hour, EVERY_ITEM):
                found.wrong.append(f"{way} {item} {hour}: row {'missing' if row is None else 'extra'}")
            elif row is not None:
                found.compare(way, row, {name: wanted[name] for name in names(OF_ITEMS)}, (item, hour))
