"""Days in the order of arrival. A day's lines come from the behaviours of that day and of CARRY_DAYS before it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from recsys.simulate import rows as r
from recsys.simulate.behaviours import behave
from recsys.simulate.bots import run_bots
from recsys.simulate.noise import CARRY_DAYS, disturb
from recsys.simulate.sessions import DAY_US, day_start
from recsys.simulate.shop import Shop
from recsys.simulate.tastes import today


def of_origin(shop: Shop, day: int) -> r.Rows:
    """All rows that begin on a day (1 is the first), whenever they arrive: a function of (settings, day)."""
    return disturb(shop, day, r.join([behave(shop, day), run_bots(shop, today(shop, day))]))


def arriving(shop: Shop, first: int, last: int) -> Iterator[tuple[int, r.Rows]]:
    """Each day from `first` to `last`, both included, with the rows that arrive on it, in order of arrival and id.

    Memory holds CARRY_DAYS + 1 days. Nothing happened before day 1.
    """
    window: deque[r.Rows] = deque(maxlen=CARRY_DAYS + 1)
    for day in range(max(1, first - CARRY_DAYS), last + 1):
        window.append(of_origin(shop, day))
        if day < first:
            continue
        begin = day_start(shop, day)
        present = [rows.take((rows.arrive >= begin) & (rows.arrive < begin + DAY_US)) for rows in window]
        rows = r.join(present)
        yield day, rows.take(np.lexsort((rows.id, rows.arrive)))
