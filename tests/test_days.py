"""Business days in zones with summer time."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.days import hours_of, micros, moment_of, start_of, yesterday

ZONES = ("UTC", "Europe/London", "Asia/Kolkata", "America/New_York", "Pacific/Auckland")


def utc(day: int, hour: int, minute: int = 0, month: int = 3) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=timezone.utc)


def test_a_day_begins_at_local_midnight() -> None:
    assert start_of(date(2026, 3, 10), "UTC") == utc(10, 0)
    assert start_of(date(2026, 3, 10), "Asia/Kolkata") == utc(9, 18, 30)
    assert start_of(date(2026, 7, 10), "Europe/London") == utc(9, 23, month=7)


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        (date(2026, 3, 28), "Europe/London", 24),
        (date(2026, 3, 29), "Europe/London", 23),
        (date(2026, 10, 25), "Europe/London", 25),
        (date(2026, 3, 10), "Asia/Kolkata", 25),  # it begins and ends in the middle of an hour
    ],
)
def test_hours_of_a_day(day: date, zone: str, hours: int) -> None:
    assert len(hours_of(day, zone)) == hours


@given(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.sampled_from(ZONES))
def test_hours_cover_the_day_without_gaps(day: date, zone: str) -> None:
    hours = hours_of(day, zone)
    first, end = start_of(day, zone), start_of(day + timedelta(days=1), zone)
    assert hours[0] <= first < hours[1]
    assert hours[-1] < end <= hours[-1] + timedelta(hours=1)
    assert {b - a for a, b in pairwise(hours)} == {timedelta(hours=1)}
    assert {(h.minute, h.second, h.utcoffset()) for h in hours} == {(0, 0, timedelta(0))}


def test_microseconds_count_from_1970_in_utc() -> None:
    assert micros(datetime(1970, 1, 2, 2, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))) == 24 * 3600 * 10**6 + 5
    assert micros(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone.utc)) == -1


@given(st.datetimes(datetime(1901, 1, 1), datetime(2199, 12, 31)), st.sampled_from(ZONES))
def test_a_moment_is_its_microseconds(local: datetime, zone: str) -> None:
    moment = local.replace(tzinfo=ZoneInfo(zone))
    assert moment_of(micros(moment)) == moment


@pytest.mark.parametrize("zone", ZONES)
def test_yesterday_has_ended(zone: str) -> None:
    now = datetime.now(timezone.utc)
    end = start_of(yesterday(zone) + timedelta(days=1), zone)
    assert end <= datetime.now(timezone.utc)
    assert now < end + timedelta(hours=26)
