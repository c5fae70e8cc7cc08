"""Features of all of a user's events, without a horizon: native aggregations, a number or two of state each. Spark.

None depends on the order of arrival: counts, sums of integers, extremes, the ends of the total order, and sketches; of
sums that decay no more than the last digits do.
"""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import Column
from pyspark.sql import functions as F

from recsys.config import Settings
from recsys.days import microseconds
from recsys.features.definitions import profile_features_of
from recsys.features.feature import Feature
from recsys.settings.user import DECAYED, FIRST, LAST, LIFETIME, ORIGIN
from recsys.tables import SKETCH_LG_K

SECOND = 1_000_000


def lifetime_features_of(settings: Settings) -> tuple[Feature, ...]:
    """Those of the settings, in order."""
    return tuple(f for f in profile_features_of(settings.features) if f.operation.startswith(LIFETIME))


def aggregates(settings: Settings) -> list[Column]:
    """Their aggregations over a user's rows of tables.EVENTS, by their names."""
    return [OPERATIONS[f.operation](f, settings).cast(f.type).alias(f.name) for f in lifetime_features_of(settings)]


def _of(name: str, settings: Settings) -> Column:
    """Whether an event is of the behaviour; of an engaged one where none is named."""
    every = name in {"", "engaged"}
    return F.col("behaviour").isin(*settings.engaged()) if every else F.col("behaviour") == name


def _known(f: Feature, settings: Settings) -> Column:
    """The value of an event that counts and has one; else NULL."""
    quantity = F.coalesce("quantity", F.lit(1))
    price = F.col("price_minor")
    values = {"price": price, "quantity": quantity, "spend": price * quantity, "value": F.col("value")}
    return F.when(_of(f.of, settings), values[f.value])


def _count(f: Feature, settings: Settings) -> Column:
    return F.count_if(_of(f.of, settings))


def _rate(f: Feature, settings: Settings) -> Column:
    good, prior = f.prior or (0, 0)
    reached, asked = F.count_if(_of(f.of, settings)), F.count_if(_of(f.per, settings))
    return (reached + F.lit(float(good))) / (F.greatest(reached, asked) + F.lit(float(prior)))


def _recency(f: Feature, settings: Settings) -> Column:
    newest = F.max(F.when(_of(f.of, settings), F.col("event_time")))
    return (F.unix_micros(F.max("event_time")) - F.unix_micros(newest)) / F.lit(float(SECOND))


def _sum(f: Feature, settings: Settings) -> Column:
    return F.coalesce(F.sum(_known(f, settings)), F.lit(0))


def _mean(f: Feature, settings: Settings) -> Column:
    known = _known(f, settings)
    return F.sum(known).cast("double") / F.nullif(F.count(known), F.lit(0)).cast("double")


def _end(pick: Callable[[Column, Column], Column]) -> Callable[[Feature, Settings], Column]:
    def end(f: Feature, settings: Settings) -> Column:
        known = _known(f, settings)
        return pick(known, F.when(known.isNotNull(), F.struct("event_time", "event_id")))

    return end


def _decayed(f: Feature, settings: Settings) -> Column:
    """Of n values the sum is within (n - 1) 2^-53 of its own size, in whatever order they are added: none is below 0.

    The weights add 1e-13 each: their exponents, at most 914, are rounded. A million events are known to 1.2e-10.
    """
    time, half_life = F.unix_micros("event_time"), F.lit(float(microseconds(f.window)))
    value = _known(f, settings) if f.value else F.when(_of(f.of, settings), F.lit(1))
    weight = F.pow(F.lit(2.0), (time - F.lit(ORIGIN)) / half_life)
    counts = (time >= F.lit(FIRST)) & (time < F.lit(LAST)) & (value > 0)
    total = F.sum(F.when(counts, value * weight))
    to_newest = F.pow(F.lit(2.0), (F.lit(ORIGIN) - F.unix_micros(F.max("event_time"))) / half_life)
    return F.coalesce(total * to_newest, F.lit(0.0))  # nothing counted: no factor can make it NaN


def _distinct(f: Feature, settings: Settings) -> Column:
    """Merged with itself, a sketch estimates by the set of its items alone, as in `cells.distinct_users`."""
    sketch = F.hll_sketch_agg(F.when(_of(f.of, settings), F.col("item_id")), SKETCH_LG_K)
    return F.hll_sketch_estimate(F.hll_union(sketch, sketch))


OPERATIONS: dict[str, Callable[[Feature, Settings], Column]] = {
    "lifetime_count": _count,
    "lifetime_rate": _rate,
    "lifetime_recency_s": _recency,
    "lifetime_sum": _sum,
    "lifetime_mean": _mean,
    "lifetime_min": lambda f, settings: F.min(_known(f, settings)),
    "lifetime_max": lambda f, settings: F.max(_known(f, settings)),
    "lifetime_first": _end(F.min_by),
    "lifetime_last": _end(F.max_by),
    **dict.fromkeys(DECAYED, _decayed),
    "lifetime_distinct": _distinct,
}
