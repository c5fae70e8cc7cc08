"""A list column of a source row, spread into rows."""

from __future__ import annotations

import re

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.events.fields import Expand
from recsys.events.mapping import Mapping

ORDINAL = "_ordinal"
OWN = "_own_"  # prefix of a column as the source has it, where an element's value stands in its place


def expand(raw: DataFrame, mapping: Mapping) -> DataFrame:
    """Each element of the list column as a row of its own (ORDINAL from 1) beside its row (ORDINAL 0).

    The row itself gets the price that the list shows for its item. The source's own values stay under OWN.
    """
    spec = mapping.expand
    if spec is None:
        return raw.withColumn(ORDINAL, F.lit(0))
    items = elements(F.col(spec.column), spec)
    prices = elements(F.col(spec.prices), spec) if spec.prices else F.array().cast("array<string>")
    place = F.array_position(items, F.trim(F.col(mapping.item.column))).cast("int")
    own = F.struct(
        F.lit(0).alias("ordinal"),
        F.col(mapping.item.column).alias("item"),
        F.when(place > 0, F.get(prices, place - 1)).alias("price"),
    )
    element = F.transform(
        items, lambda item, i: F.struct((i + 1).alias("ordinal"), item.alias("item"), F.get(prices, i).alias("price"))
    )
    rows = raw.withColumns({f"{OWN}{name}": F.col(name) for name in replaced(mapping)})
    rows = rows.withColumn("_element", F.explode(F.concat(F.array(own), element)))
    values = {ORDINAL: F.col("_element.ordinal"), mapping.item.column: F.col("_element.item")}
    if spec.prices:
        values[spec.prices] = F.col("_element.price")
    return rows.withColumns(values).drop("_element")


def replaced(mapping: Mapping) -> tuple[str, ...]:
    """The source columns whose value `expand` replaces by an element's."""
    spec = mapping.expand
    return tuple(dict.fromkeys(filter(None, (mapping.item.column, spec.prices)))) if spec else ()


def elements(text: Column, spec: Expand) -> Column:
    """The elements of a JSON list or of separated text; none where the text is empty or NULL."""
    split = F.split(text, re.escape(spec.separator))
    found = F.when(text.startswith("["), F.from_json(text, "array<string>")).when(F.trim(text) != "", split)
    return F.coalesce(found, F.array().cast("array<string>"))
