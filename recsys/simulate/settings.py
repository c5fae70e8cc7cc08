"""The simulated shop's settings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

from pydantic import Field

from recsys.config import Section, parse
from recsys.errors import ConfigError


class SimulateSettings(Section):
    """Size, pace and defects of the shop. The same settings give the same bytes, day by day."""

    seed: int = Field(20171016, ge=0, description="seed of everything random")
    users: int = Field(23_000, ge=10, description="users, those included who join later")
    items: int = Field(5_500, ge=100, description="items, those included that are launched later")
    events_per_day: int = Field(36_000, ge=100, description="mean lines a day, impressions and defects included")
    start: date = Field(date(2025, 3, 3), description="UTC date of day 1")
    cluster_items: int = Field(75, ge=5, description="mean items of a cluster: a subcategory in one style")
    list_length: int = Field(6, ge=3, le=50, description="items of an impression list, at most")
    joining_users: float = Field(0.10, ge=0, lt=1, description="share of users who join on one of the days 2 to 60")
    launched_items: float = Field(0.12, ge=0, lt=1, description="share of items launched on one of the days 2 to 60")
    anonymous: float = Field(0.03, ge=0, le=1, description="share of sessions without a user")
    offline: float = Field(0.012, ge=0, le=1, description="share of sessions that arrive hours to three days late")
    bots: int = Field(12, ge=0, description="programs that pose as users")
    duplicates: float = Field(0.01, ge=0, le=1, description="share of lines that are sent again")
    malformed: float = Field(0.005, ge=0, le=1, description="share of lines that no pipeline should accept")


def read_settings(assignments: Sequence[str]) -> SimulateSettings:
    """The defaults with `key=value` assignments over them. ConfigError names an unknown key or a wrong value."""
    split = [assignment.partition("=") for assignment in assignments]
    if odd := [key for key, equals, _ in split if not equals]:
        raise ConfigError(f"--set {odd[0]!r} has no '='. Write --set key=value.")
    return parse(SimulateSettings, {key.strip(): value for key, _, value in split}, "the shop")


def read_days(text: str) -> tuple[int, int]:
    """First and last day of `A..B` (both included) or of a single day. ConfigError for anything else."""
    found = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", text.strip())
    first = int(found[1]) if found else 0
    last = int(found[2] or found[1]) if found else 0
    if not 1 <= first <= last:
        raise ConfigError(f"--days {text!r} is no range of days: write 1..30 or 31; day 1 is the first.")
    return first, last
