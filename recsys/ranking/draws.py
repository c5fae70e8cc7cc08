"""What negatives are drawn from, how likely each item is drawn, and the random numbers of the draws. NumPy only.

Shape letters: H hours, S items of all hours' pools, Q requests, J draws of one, M pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.features.history import F64, I32, I64

HOUR = 3_600_000_000  # microseconds
NEGATIVES, NEAR, MOMENTS, REQUESTS = range(4)  # streams of `uniform`


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """The items that were active in each hour, and how likely each is drawn for the requests of the next."""

    hours: I64  # [H] ascending ends: from then on it serves, microseconds since 1970 UTC
    offsets: I64  # [H + 1]; hour h owns [offsets[h], offsets[h + 1])
    items: I32  # [S] item codes, ascending in each hour
    cumulative: F64  # [S] running sum of weights over all hours

    def newest(self, time: I64) -> I64:
        """The hour that serves each moment: the newest one that had ended; -1: none."""
        return np.asarray(np.searchsorted(self.hours, time, side="right") - 1, dtype=np.int64)

    def draw(self, time: I64, luck: F64) -> I32:
        """[Q, J] an item for each number in [0, 1) of `luck` [Q, J], from the hours that serve `time` [Q]."""
        hour = self.newest(time)
        edges = np.append(0.0, self.cumulative)
        low, last = edges[self.offsets[hour]][:, None], self.offsets[hour + 1][:, None]
        drawn = np.searchsorted(self.cumulative, low + luck * (edges[last] - low), side="right")
        return np.asarray(self.items[np.minimum(drawn, last - 1)])  # rounding may reach the next hour

    def share(self, hour: I64, item: I32, lacking: float = 0.0) -> F64:
        """Chance that one draw from each hour (index from 0) is the item beside it; `lacking`: weight of no member."""
        codes = int(max(self.items.max(initial=0), item.max(initial=0))) + 1
        cells = np.repeat(np.arange(len(self.hours)), np.diff(self.offsets)) * codes + self.items
        wanted = hour * codes + item
        place = np.minimum(np.searchsorted(cells, wanted), len(cells) - 1)
        edges = np.append(0.0, self.cumulative)
        weight = np.where(cells[place] == wanted, edges[place + 1] - edges[place], lacking)
        return np.asarray(weight / (edges[self.offsets[hour + 1]] - edges[self.offsets[hour]]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Draw:
    """`count` negatives of each request come from `pool`."""

    pool: Pool
    count: int


Noise = tuple[Draw, ...]


def build_pool(hour: I64, item: I32, events: I64, power: float) -> Pool:
    """A pool from rows (end of the hour, item, engaged events), in any order; an item's weight is events ** power."""
    order = np.lexsort((item, hour))
    hours, starts = np.unique(hour[order], return_index=True)
    return Pool(
        hours=hours,
        offsets=np.append(starts, len(order)).astype(np.int64),
        items=item[order],
        cumulative=np.cumsum(events[order].astype(np.float64) ** power),
    )


def draw_chance(noise: Noise, time: I64, item: I32) -> F64:
    """[M] chance that a request at `time` [M] has `item` [M] among its draws.

    An item that the last pool lacks counts there as one event: at chance 0 nothing could be learned about it.
    """
    missed = np.ones(len(item))
    for draw in noise:
        lacking = 1.0 if draw is noise[-1] else 0.0
        missed *= (1 - draw.pool.share(draw.pool.newest(time), item, lacking)) ** draw.count
    return 1 - missed


def uniform(seed: I64, count: int, stream: int = 0) -> F64:
    """[Q, count] numbers in [0, 1) from 64-bit seeds [Q]: SplitMix64 (Steele et al. 2014, figure 16), counter form.

    Streams of the same seeds are independent.
    """
    steps = (np.arange(1, count + 1, dtype=np.uint64) + np.uint64(stream << 32)) * np.uint64(0x9E3779B97F4A7C15)
    z = seed.astype(np.uint64)[:, None] + steps
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return np.asarray((z >> np.uint64(11)).astype(np.float64) * 2.0**-53)
