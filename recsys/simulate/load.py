"""The shop as an open-loop load generator: lines leave by the clock, whatever the reader's pace."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path

import numpy as np

from recsys.errors import ConfigError
from recsys.simulate import rows as r
from recsys.simulate.days import arriving
from recsys.simulate.hashing import U64, scramble
from recsys.simulate.shop import Shop
from recsys.simulate.write import Counts, count, write_events, write_json

TICK_S = 1.0
SHORTEST_WAIT_S = 0.001


def check_rate(rate: float | None) -> None:
    """ConfigError where a rate is given that emits nothing."""
    if rate is not None and not 0 < rate < float("inf"):
        raise ConfigError(f"--rate {rate} is no pace: give events a second, above 0.")


def emit(
    shop: Shop,
    folder: Path,
    first: int,
    last: int,
    rate: float,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Counts]:
    """Send the lines of the days `first` to `last` at `rate` lines a second; yields what each file holds.

    A file a second, named by its moment. Line n is due n / `rate` seconds after the start, and a late file holds all
    that is due, so a slow disk does not lower the rate. `ts` = `sent_at` = the due moment. The order of the day's
    arrival is kept; its pace and its late lines are not. Ids and sessions differ from run to run. Counts go to
    `truth/load/`, one file for each file of events.
    """
    days = arriving(shop, first, last)
    day_rows = next(days)  # before the clock starts, so that the load does not begin with a burst
    begin, sent = clock(), 0
    for day, rows in chain([day_rows], days):
        left = _renamed(rows, int(begin * 1e6))
        while len(left):
            now = clock()
            due = min(int((now - begin) * rate) - sent, len(left))
            if due <= 0 or (due < len(left) and now - begin < (sent / rate) + TICK_S):
                sleep(max(min(TICK_S, sent / rate + TICK_S - (now - begin)), SHORTEST_WAIT_S))
                continue
            moments = ((begin + (sent + 1 + np.arange(due)) / rate) * 1000).astype(np.int64) * 1000
            part = left.take(np.arange(due))
            part = replace(part, time=moments, sent=moments, arrive=moments)
            name = datetime.fromtimestamp(now, timezone.utc).strftime("%Y-%m-%d-%H-%M-%S-%f")
            write_events(shop, folder / "events" / f"{name}.json.gz", part)
            counts = count(shop, day, part)
            write_json(folder / "truth" / "load" / f"{name}.json", asdict(counts))
            left, sent = left.take(np.arange(due, len(left))), sent + due
            yield counts


def _renamed(rows: r.Rows, salt: int) -> r.Rows:
    """New ids for a new run; a resend keeps its original's."""
    turn = scramble(salt)

    def turned(ids: U64) -> U64:
        return np.where(ids == 0, ids, scramble(ids ^ turn))

    return replace(rows, id=scramble(rows.id ^ turn), session=turned(rows.session), request=turned(rows.request))
