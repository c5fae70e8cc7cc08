"""Reasons of nightly lists against a simulated shop's truth: does the named item go with the recommended one?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pyspark.sql import functions as F

from recsys.io import View
from recsys.monitor.report_data import Named
from recsys.simulate.queries import titles
from recsys.simulate.shop import Shop
from recsys.simulate.truth import open_truth
from recsys.tables import RECOMMENDATIONS, USER_PROFILES
from recsys.topn.reasons import NEWEST, TEMPLATES

USERS = 500  # whose lists are looked at
PATTERNS = tuple(re.compile(re.escape(text).replace(re.escape("{}"), "(.*)")) for text in TEMPLATES.values())
Listed = tuple[Sequence[str | None], Sequence[tuple[str, str]]]  # a user's newest items; item and reason of each place


def named_by_lists(view: View, shop: Path) -> Named | None:
    """The newest lists of USERS users; None: there are none, or no reason names a behaviour."""
    if not view.has(RECOMMENDATIONS):
        return None
    recent = F.slice("recent", -F.least(F.size("recent"), F.lit(NEWEST)), NEWEST)
    profiles = view.latest(USER_PROFILES, ("recent",)).where(F.size("recent") > 0)
    lists = view.latest(RECOMMENDATIONS, ("items",)).where(F.size("items") > 0)
    drawn = lists.join(profiles, "user_id").orderBy("user_id").limit(USERS)  # pseudonyms are in random order
    rows = drawn.select(recent["item_id"].alias("recent"), "items").collect()  # USERS rows
    told = ((row["recent"], [(one["item_id"], one["reason"]) for one in row["items"]]) for row in rows)
    return judged(told, open_truth(shop))


def judged(lists: Iterable[Listed], shop: Shop) -> Named | None:
    """How often a named item goes with the recommended one, beside any item of the same user's newest behaviours."""
    names, count, right, chance = titles(shop), 0, 0, 0.0
    for recent, items in lists:
        seen = [_number(item) for item in recent if item]
        called = {names[number]: number for number in seen}
        for item, reason in items:
            told = called.get(_title(reason))
            if told is None:
                continue
            count += 1
            right += goes_with(shop, _number(item), told)
            chance += sum(goes_with(shop, _number(item), other) for other in seen) / len(seen)
    return Named(reasons=count, right=right / count, chance=chance / count) if count else None


def goes_with(shop: Shop, one: int, other: int) -> bool:
    """Whether two items are of one cluster, or of clusters that complement each other."""
    first, second = shop.items.cluster[one], shop.items.cluster[other]
    complement = shop.clusters.complement
    return bool(first == second or complement[first] == second or complement[second] == first)


def _title(reason: str) -> str:
    found = (pattern.fullmatch(reason) for pattern in PATTERNS)
    return next((match[1] for match in found if match), "")


def _number(item: str) -> int:
    return int(item.removeprefix("i"))
