"""Training sequences: users' last K behaviours before a moment, and the catalogue at that moment, by Spark."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.config import Settings
from recsys.events.catalogue import valid_at
from recsys.features.kept import without_declared
from recsys.features.state import profile_state, with_user_features


def sequences(events: DataFrame, settings: Settings, until: datetime, since: datetime | None = None) -> DataFrame:
    """`recent` of each user as of `until` (open end), bots left out; with `since`, only users with an event since then.

    `since` is a closed start, in terms of `known_at`, so that late arrivals count as new.
    """
    past = events.where(F.col("event_time") < F.lit(until))
    if since is not None:
        touched = past.where(F.col("known_at") >= F.lit(since)).select("user_id")
        past = past.join(touched, on="user_id", how="left_semi")
    plain = without_declared(settings)
    profiles = with_user_features(profile_state(past, plain), plain)
    return profiles.where(~F.col("is_bot") & (F.size("recent") > 1)).select("user_id", "recent")


def catalogue(items: DataFrame, moment: datetime) -> DataFrame:
    """What `items` (tables.ITEMS) says at `moment` of each item: its title, category and price, as far as known."""
    listed = valid_at(items, F.lit(moment)).select("item_id", "title", "category", "price_minor")
    return listed.where(F.coalesce("title", "category", F.col("price_minor").cast("string")).isNotNull())
