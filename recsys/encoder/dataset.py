"""Training sequences: users' last K behaviours before a moment, by Spark into Parquet, read through Arrow.

The driver holds the flattened arrays of what it trains on: 33 bytes a behaviour, at most K a user.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.config import Settings
from recsys.encoder.content import Content
from recsys.errors import NoDataError
from recsys.events.catalogue import valid_at
from recsys.features.history import MISSING, Histories, from_arrow
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


def read_content(folder: str) -> Content:
    """The written catalogue, items in the order of their ids."""
    table = ds.dataset(folder, format="parquet", exclude_invalid_files=True).to_table().sort_by("item_id")
    price = pc.fill_null(table["price_minor"], MISSING).to_numpy().astype(np.int64)
    text = {name: tuple(table[name].to_pylist()) for name in ("title", "category")}
    return Content(items=tuple(table["item_id"].to_pylist()), price=price, **text)


def read_sequences(folder: str, settings: Settings) -> Histories:
    """The written sequences, users in the order of their pseudonyms. NoDataError where there is none."""
    table = ds.dataset(folder, format="parquet", exclude_invalid_files=True).to_table().sort_by("user_id")
    if not table.num_rows:
        raise NoDataError("no user has two behaviours to learn from. Stream more events, or choose a later --until.")
    return from_arrow(table["recent"], tuple(settings.behaviours))
