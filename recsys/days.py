"""Business days, moments and windows: from the zone of the settings to UTC and back, and in microseconds."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

from recsys.errors import ConfigError

SECOND = 1_000_000
UNITS = {"m": 60 * SECOND, "h": 3600 * SECOND, "d": 86_400 * SECOND}
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def microseconds(window: str) -> int:
    """Length of a window such as `15m`, `1h` or `30d`. ConfigError: anything else."""
    found = re.fullmatch(r"([1-9][0-9]*)([mhd])", window)
    if found is None:
        raise ConfigError(f"Window {window!r} is not a number of minutes, hours or days; write 15m, 1h or 30d.")
    return int(found[1]) * UNITS[found[2]]


def micros(moment: datetime) -> int:
    """Microseconds since 1970 UTC of a moment with its zone."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def moment_of(micros: int) -> datetime:
    """The moment (UTC) that lies so many microseconds after 1970."""
    return EPOCH + timedelta(microseconds=micros)


def start_of(day: date, zone: str) -> datetime:
    """First moment (UTC, closed) of the business day; the day ends, open, at the next one's start."""
    return datetime.combine(day, time(), tzinfo=ZoneInfo(zone)).astimezone(timezone.utc)


def days_of(first: datetime, last: datetime) -> list[date]:
    """The UTC days that [first, last) touches, two moments in UTC, ascending."""
    count = (last - timedelta(microseconds=1)).date() - first.date()
    return [first.date() + timedelta(days=n) for n in range(count.days + 1)]


def hours_of(day: date, zone: str) -> list[datetime]:
    """The full UTC hours of the business day, ascending: 23 to 25 of them. The first lies at or before its start."""
    first = start_of(day, zone).replace(minute=0)
    last = start_of(day + timedelta(days=1), zone)
    return [first + timedelta(hours=n) for n in range(-(-(last - first) // timedelta(hours=1)))]


def yesterday(zone: str) -> date:
    """The newest business day that has ended."""
    return datetime.now(ZoneInfo(zone)).date() - timedelta(days=1)
