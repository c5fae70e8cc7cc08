"""`item_features` as it is kept and as it is read. The one read path. Spark.

A share is of everyone's behaviour, so one late event would change it in the rows of all items. Kept are its two counts:
the item's own in its row, everyone's by hour in `coverage`. Whoever reads divides them, by `tiles.share`.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.functions import arrow_udf

from recsys.config import FeatureSettings
from recsys.features.definitions import columns, item_features_of, item_features_table, names
from recsys.features.feature import Feature, count
from recsys.features.item_feature import ACTIVE, SHARE, shares_of
from recsys.features.tiles import share
from recsys.io import View, newest
from recsys.settings.item import EVENT
from recsys.tables import COVERAGE, ITEM_FEATURES, Table

ACTIVITY = count("item", EVENT, ACTIVE).name  # one of ITEM_FEATURES


def kept(features: tuple[Feature, ...]) -> tuple[Feature, ...]:
    """What the table holds of `features`: all but the shares, and the items' own counts of these."""
    whole = tuple(f for f in features if f.operation != SHARE)
    counts = {own.name: own for own in map(_own, shares_of(features))}
    return whole + tuple(own for name, own in counts.items() if name not in names(whole))


def stored_table(settings: FeatureSettings) -> Table:
    """`item_features` with a column for each feature that is kept."""
    return ITEM_FEATURES.extended(columns(kept(item_features_of(settings))))


def stored_item_features(view: View, settings: FeatureSettings, first: date, last: date) -> DataFrame:
    """The rows of definitions.item_features_table for the UTC days `first` to `last`, both included.

    NoDataError: none was ever computed. Features that a day was computed without, for other settings, are NULL until it
    is computed again (covered.wanted says which days are to be).
    """
    days = F.col("day").between(F.lit(first), F.lit(last))
    covered = view.latest(COVERAGE).where((F.col("table") == ITEM_FEATURES.name) & days)
    written = view.read(stored_table(settings)).where(days).join(F.broadcast(covered.select("day", "whole")), "day")
    rows = newest(written.where(F.col("batch") >= F.col("whole")), ITEM_FEATURES.key)
    shares = shares_of(item_features_of(settings))
    hours = covered.select(F.inline("everyone"))
    everyone = hours.select("hour", *(F.col("counts")[f.name].alias(_everyones(f)) for f in shares))
    found = rows.join(F.broadcast(everyone), "hour", "left")
    divide = arrow_udf(_share, "double")
    divided = {f.name: divide(_own(f).name, _everyones(f), ACTIVITY) for f in shares}
    return found.withColumns(divided).select(*item_features_table(settings).names)


def _own(f: Feature) -> Feature:
    return count("item", f.of, f.window)


def _everyones(f: Feature) -> str:
    return f"{f.name}_everyone"


def _share(own: pa.Array, everyone: pa.Array, active: pa.Array) -> pa.Array:
    counts = (values.fill_null(0).to_numpy(zero_copy_only=False) for values in (own, everyone, active))
    known = np.asarray(everyone.is_valid())
    return pa.array(np.where(known, share(*counts), np.nan), from_pandas=True)
