"""Who visits the shop on a day, when, how long, on which device.

Shape letters: N sessions of the day.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.simulate.hashing import F64, U64, mix
from recsys.simulate.people import DEVICES, I32, I64
from recsys.simulate.shop import Shop
from recsys.simulate.tastes import Bool

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
EVENTS_PER_SESSION = 6.17  # measured: mean lines that a session leaves, impressions included
BOT_EVENTS_PER_DAY = 52.0  # measured: mean lines that a bot leaves
WEEKDAY = np.array([0.95, 0.92, 0.94, 0.98, 1.03, 1.12, 1.06])  # Monday first; mean 1
HOURS = np.array([3, 2, 1, 1, 1, 2, 4, 7, 9, 10, 11, 12, 13, 12, 11, 11, 12, 14, 17, 20, 21, 18, 12, 6])  # from 0:00
LENGTHS = np.arange(1, 31)
_LOG_NORMAL = np.exp(-((np.log(LENGTHS) - 0.75) ** 2) / (2 * 0.95**2)) / LENGTHS
LENGTH_SHARES = _LOG_NORMAL / _LOG_NORMAL.sum()  # of steps in a session


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """N sessions of a day, each of a user, with or without a login."""

    day: int
    user: I64  # [N] index of the user, known or not
    named: Bool  # [N] the events carry the user
    id: U64  # [N]
    start: I64  # [N] microseconds since 1970 UTC
    steps: I64  # [N]
    device: I32  # [N] index into DEVICES
    delay: I64  # [N] microseconds that all events of an offline session wait; else 0


def day_start(shop: Shop, day: int) -> int:
    """First microsecond of a day in UTC; day 1 is `settings.start`."""
    return (int(np.datetime64(shop.settings.start, "D").astype(np.int64)) + day - 1) * DAY_US


def visit(shop: Shop, day: int, rng: np.random.Generator) -> Sessions:
    """Draw a day's sessions."""
    settings, people = shop.settings, shop.people
    weekday = (int(np.datetime64(settings.start, "D").astype(np.int64)) + day - 1 + 3) % 7
    lines = settings.events_per_day / (1 + settings.duplicates + settings.malformed)
    wanted = max(lines - settings.bots * BOT_EVENTS_PER_DAY, 0) / EVENTS_PER_SESSION * WEEKDAY[weekday]
    activity = np.where(people.join <= day, people.activity, 0.0)
    user = np.repeat(np.arange(settings.users), rng.poisson(wanted * activity / activity.sum()))
    count = len(user)
    usual = rng.random(count) < 0.85
    offline = rng.random(count) < settings.offline
    return Sessions(
        day=day,
        user=user,
        named=rng.random(count) >= settings.anonymous,
        id=mix(settings.seed, 51, day, np.arange(count)),
        start=day_start(shop, day) + _hours(people.hour[user], rng),
        steps=rng.choice(LENGTHS, count, p=LENGTH_SHARES),
        device=np.where(usual, people.device[user], rng.integers(len(DEVICES), size=count)).astype(np.int32),
        delay=np.where(offline, rng.uniform(2 * HOUR_US, 70 * HOUR_US, count), 0).astype(np.int64),
    )


def _hours(shift: F64, rng: np.random.Generator) -> I64:
    hour = rng.choice(24, len(shift), p=HOURS / HOURS.sum()) + rng.random(len(shift)) + shift
    return ((hour % 24) * HOUR_US).astype(np.int64)
