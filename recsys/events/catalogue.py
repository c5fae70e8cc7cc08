"""The catalogue: from its own file by the mapping, or derived from events; slowly changing."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.functions import arrow_udf

from recsys.errors import ConfigError, NoDataError
from recsys.events.fields import Catalogue
from recsys.events.identify import normalised_case
from recsys.events.mapping import Mapping
from recsys.events.source import found_columns, missing_column, read_rows
from recsys.events.values import moment
from recsys.tables import ITEMS

ATTRIBUTES = ("category", "price_minor", "title", "description", "sales_volume", "in_stock", "vector")
BEGINNING = "1970-01-01 00:00:00"


def catalogue_file(mapping: Mapping, source: str, setting: str) -> str:
    """Where the catalogue's file is: the setting, else the mapping's path beside or below the source; empty: none."""
    if setting or not mapping.catalogue_path:
        return setting
    if "://" in source:
        return f"{source.rstrip('/')}/{mapping.catalogue_path}"
    places = [Path(source) / mapping.catalogue_path, Path(source).parent / mapping.catalogue_path]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise NoDataError(f"the catalogue is at none of {', '.join(map(str, places))}. Set `catalogue` to its file.")
    return str(found)


def from_file(spark: SparkSession, mapping: Mapping, path: str) -> DataFrame:
    """Items as the catalogue's file has them: `item_id`, ATTRIBUTES and `since`.

    One row an item, `since` its launch; where the mapping has `changed`, one row a change, `since` that moment.
    """
    spec = mapping.catalogue
    if spec is None:
        raise ConfigError(f"mapping {mapping.name!r} has no `catalogue` section, but {path!r} was given. Add one.")
    names = found_columns(spark, spec.format, path)
    wanted = {  # our name -> the file's column
        "item_id": spec.item,
        "title": spec.title,
        "category": spec.category,
        "description": spec.description,
        "sales_volume": spec.sales,
        "stock": spec.stock,
        "price_minor": spec.price.column if spec.price else "",
        "launched": spec.launched.column if spec.launched else "",
        "changed": spec.changed.column if spec.changed else "",
    }
    for ours, column in wanted.items():
        if column and column not in names:
            raise ConfigError(missing_column(mapping, f"catalogue ({ours})", column, path, names))
    rows = read_rows(spark, spec.format, path, names, None)
    text: dict[str, Column] = {our: F.col(their) if their else F.lit(None) for our, their in wanted.items()}
    return _attributes(rows.select(*(column.cast("string").alias(name) for name, column in text.items())), spec)


def _attributes(rows: DataFrame, spec: Catalogue) -> DataFrame:
    clean = arrow_udf(normalised_case, "string")
    scale = spec.price.scale if spec.price else 1.0
    stock = F.col("stock").try_cast("double")
    launched = moment(F.col("launched"), spec.launched) if spec.launched else _never()
    since = F.coalesce(moment(F.col("changed"), spec.changed), launched) if spec.changed else launched
    typed = rows.select(
        F.trim("item_id").alias("item_id"),
        F.replace("category", F.lit(spec.category_separator), F.lit("|")).alias("category"),
        F.round(F.col("price_minor").try_cast("double") * scale).try_cast("bigint").alias("price_minor"),
        clean("title").alias("title"),
        clean("description").alias("description"),
        F.coalesce(F.col("sales_volume").try_cast("bigint"), F.lit(0)).alias("sales_volume"),
        F.coalesce(stock > 0, F.lower("stock") != "false", F.lit(True)).alias("in_stock"),
        F.lit(None).cast("array<float>").alias("vector"),
        since.alias("since"),
    )
    return typed.where(F.col("item_id") != "").dropDuplicates(["item_id", "since"] if spec.changed else ["item_id"])


def from_events(events: DataFrame) -> DataFrame:
    """Items as the events show them: the newest title, category and price, all pieces sold less those returned,
    and `since`, the first event.
    """
    last = F.struct("event_time", "event_id")
    sold = F.when(F.col("behaviour") == "purchase", F.col("quantity")).when(
        F.col("behaviour") == "return", -F.col("quantity")
    )

    def newest(value: Column) -> Column:
        return F.max_by(value, F.when(value.isNotNull(), last))

    return (
        events.where(F.col("item_id").isNotNull())
        .groupBy("item_id")
        .agg(
            newest(F.col("context").getItem("category")).alias("category"),
            newest(F.col("price_minor")).alias("price_minor"),
            newest(F.trim(F.col("context").getItem("title"))).alias("title"),
            F.lit(None).cast("string").alias("description"),
            F.greatest(F.coalesce(F.sum(sold), F.lit(0)), F.lit(0)).alias("sales_volume"),
            F.lit(True).alias("in_stock"),
            F.lit(None).cast("array<float>").alias("vector"),
            F.min("event_time").alias("since"),
        )
    )


def continued(present: DataFrame | None, changes: DataFrame) -> DataFrame:
    """The whole table where `changes` has a row of `item_id`, ATTRIBUTES and `since` for each change of an item.

    A row holds until the item's next one; without `since`, from the beginning of time. What `present` has from before
    an item's first row stays, and so do items that `changes` lacks: a file may hold the newest changes alone.
    """
    begun = changes.withColumn("valid_from", _beginning())
    until = F.lead("valid_from").over(Window.partitionBy("item_id").orderBy("valid_from"))
    spans = begun.select("item_id", *ATTRIBUTES, "valid_from", until.alias("valid_to"))
    if present is None:
        return spans
    first = spans.groupBy("item_id").agg(F.min("valid_from").alias("first"))
    before = present.join(first, "item_id", "left").where(
        F.col("first").isNull() | (F.col("valid_from") < F.col("first"))
    )
    ended = before.withColumn("valid_to", F.least("valid_to", "first"))  # the least of what is not NULL
    return ended.select(*ITEMS.names).unionByName(spans)


def changed(present: DataFrame | None, now: DataFrame, moment: Column) -> DataFrame:
    """The whole table after the change: open rows that differ end at `moment`, and the new state begins there.

    `now` has `item_id`, ATTRIBUTES and `since`: a new item is valid from then on, or from the beginning of time in the
    first catalogue and from `moment` in a later one. Sales alone change too often to be worth a new span: they
    are brought up to date in place. An item that left the catalogue ends; one that comes back begins anew at `moment`.
    """
    if present is None:
        return now.select("item_id", *ATTRIBUTES, _beginning().alias("valid_from"), _never().alias("valid_to"))
    closed = present.where(F.col("valid_to").isNotNull())
    left = closed.select("item_id").distinct().withColumn("left", F.lit(True))
    old = present.where(F.col("valid_to").isNull()).alias("old")
    both = old.join(now.alias("now"), on="item_id", how="full_outer").join(left, on="item_id", how="left")
    here, there = F.col("now.sales_volume").isNotNull(), F.col("old.valid_from").isNotNull()
    equal = _equal([name for name in ATTRIBUTES if name != "sales_volume"])
    change = F.greatest(moment, "old.valid_from")  # an item may be known before it is launched
    ended = both.where(there & ~(here & equal) & (F.col("old.valid_from") < change)).select(
        "item_id", *(f"old.{name}" for name in ATTRIBUTES), "old.valid_from", change.alias("valid_to")
    )
    fresh = F.when(F.col("left"), moment).otherwise(F.coalesce("now.since", moment))
    begin = F.when(there & equal, F.col("old.valid_from")).when(there, change).otherwise(fresh)
    opened = both.where(here).select(
        "item_id", *(f"now.{name}" for name in ATTRIBUTES), begin.alias("valid_from"), _never().alias("valid_to")
    )
    return closed.select(*ITEMS.names).unionByName(ended).unionByName(opened)


def _equal(names: list[str]) -> Column:
    equal = F.lit(True)
    for name in names:
        equal = equal & F.col(f"old.{name}").eqNullSafe(F.col(f"now.{name}"))
    return equal


def _beginning() -> Column:
    return F.coalesce("since", F.lit(BEGINNING).cast("timestamp"))


def _never() -> Column:
    return F.lit(None).cast("timestamp")


def valid_at(items: DataFrame, moment: Column) -> DataFrame:
    """The catalogue as it was at a moment: spans are [valid_from, valid_to)."""
    open_ended = F.col("valid_to").isNull() | (moment < F.col("valid_to"))
    return items.where((F.col("valid_from") <= moment) & open_ended)
