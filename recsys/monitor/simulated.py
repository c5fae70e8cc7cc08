"""A simulated source beside its truth: how real its log is, and which of its bots were found."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.config import Settings
from recsys.features.history import I64
from recsys.io import View
from recsys.monitor.report_data import Bots, Range
from recsys.pseudonyms import pseudonymiser
from recsys.simulate.realism import ranges, realism
from recsys.tables import EVENTS, USER_PROFILES

ROWS = 1_500_000  # newest behaviours that the figures are computed from
LABELS = {
    "gini": "Gini coefficient of item popularity",
    "top_percent": "Share of the 1% most popular items",
    "session_mean": "Session length, mean",
    "session_median": "Session length, median",
    "gap_median_s": "Gap between behaviours, median, s",
    "repeat_rate": "Share of repeated items",
}


def true_bots(spark: SparkSession, shop: Path, settings: Settings) -> DataFrame:
    """The pseudonyms of the shop's bots: `user_id`, a dozen rows."""
    names = json.loads((shop / "truth" / "bots.json").read_text(encoding="utf-8"))
    hashed = pseudonymiser(settings.pseudonym_key_file)
    return spark.createDataFrame([(hashed(name),) for name in names], "user_id string")


def bots_found(view: View, bots: DataFrame) -> Bots:
    """Precision and recall of the profiles' flag `is_bot` against the truth, over the users that have behaved."""
    profiles = view.latest(USER_PROFILES, ("is_bot",))
    both = profiles.join(F.broadcast(bots.withColumn("true", F.lit(True))), "user_id", "left")
    truth = F.coalesce("true", F.lit(False))
    row = both.agg(
        F.count_if("is_bot").alias("found"),
        F.count_if(truth).alias("true"),
        F.count_if(F.col("is_bot") & truth).alias("hits"),
    ).first()
    found, true, hits = (row["found"], row["true"], row["hits"]) if row else (0, 0, 0)
    ratio = [hits / below if below else float("nan") for below in (found, true)]
    return Bots(found=found, true=true, precision=ratio[0], recall=ratio[1])


def compared(view: View, settings: Settings, bots: DataFrame) -> tuple[Range, ...]:
    """The log's figures beside the range of real logs; impressions and bots are left out."""
    kept = F.col("behaviour").isin(*settings.engaged()) & F.col("item_id").isNotNull()
    events = view.read(EVENTS).where(kept & F.col("user_id").isNotNull() & F.col("session_id").isNotNull())
    people = events.join(F.broadcast(bots), "user_id", "left_anti")
    columns = ("user_id", "session_id", "item_id", F.unix_micros("event_time").alias("time"))
    log = people.orderBy(F.desc("event_time")).limit(ROWS).select(*columns).toArrow()
    user, session, item = (_codes(log[name]) for name in ("user_id", "session_id", "item_id"))
    found = asdict(realism(user, session, item, log["time"].to_numpy()))
    return tuple(
        Range(name=LABELS[name], value=found[name], low=low, high=high) for name, (low, high) in ranges().items()
    )


def _codes(ids: pa.ChunkedArray) -> I64:
    return np.asarray(ids.combine_chunks().dictionary_encode().indices, dtype=np.int64)
