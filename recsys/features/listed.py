"""What the catalogue says of an item at an hour: its price, beside what it lately cost. Spark."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.events.catalogue import valid_at
from recsys.features.definitions import PRICE_WINDOW
from recsys.features.feature import Feature

PRICES = ("item_price_minor", f"item_price_ratio_{PRICE_WINDOW}")  # of ITEM_FEATURES, those that come from `items`


def priced(items: DataFrame) -> DataFrame:
    """The catalogue's spans (tables.ITEMS), each with PRICES as they are from its first moment to its end.

    The ratio is ln((price + 1) / (the item's highest price from PRICE_WINDOW before the span to its end + 1)): 0, or
    less where it was reduced. NULL: no price.
    """
    of_item = items.groupBy("item_id").agg(
        F.collect_list(F.struct("valid_from", "valid_to", "price_minor")).alias("all")
    )
    since = F.col("valid_from") - F.expr(f"INTERVAL {PRICE_WINDOW.removesuffix('d')} DAYS")

    def lately(span: Column) -> Column:
        open_ended = span["valid_to"].isNull() | (span["valid_to"] > since)
        return (span["valid_from"] <= F.col("valid_from")) & open_ended

    highest = F.array_max(F.transform(F.filter("all", lately), lambda span: span["price_minor"]))
    price, ratio = F.col("price_minor").cast("double"), F.log((F.col("price_minor") + 1) / (highest + 1))
    return items.join(of_item, "item_id").withColumns(dict(zip(PRICES, (price, ratio), strict=True))).drop("all")


def described(rows: DataFrame, items: DataFrame, features: DataFrame, declared: tuple[Feature, ...]) -> DataFrame:
    """The rows of (item_id, hour) whose item the catalogue lists then: with its span's columns and the features.

    `items` are of tables.ITEMS, `features` of definitions.item_features_table, with the `declared` ones; an item
    without a row there, as it had no event, has the features' defaults.
    """
    counted = features.select("item_id", "hour", *(f.name for f in declared if f.name not in PRICES))
    listed = valid_at(rows.join(priced(items), "item_id"), F.col("hour"))
    filled = {f.name: F.coalesce(f.name, F.lit(f.default)) for f in declared if f.default is not None}
    return listed.join(counted, ["item_id", "hour"], "left").withColumns(filled)
