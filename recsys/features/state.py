"""The users' state in Spark, as a native aggregation, and their features; the NumPy functions run by `mapInArrow`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.internal import InternalFunction

from recsys.config import FeatureSettings, Settings
from recsys.features.definitions import profile_features_of
from recsys.features.kept import text_column, texts_of
from recsys.features.lifetime import aggregates, lifetime_features_of
from recsys.features.profile import profile_features
from recsys.settings.user import QUERY
from recsys.tables import RECENT_FIELDS

UTC_US = pa.timestamp("us", tz="UTC")
Batches = Iterator[pa.RecordBatch]


def profile_state(events: DataFrame, settings: Settings) -> DataFrame:
    """One row a user: user_id, as_of, recent, counts, spend_minor, first_time, truncated as in tables.USER_PROFILES.

    After these the texts of `recent` and the lifetime features that the settings ask for. A native aggregation without
    user code, for batch and for streaming in update mode. Each row is a function of the set of the user's events, so
    neither their order nor their batches change it. Anonymous events are left out.
    """
    texts = texts_of(settings.features.user)
    kept = [f"{'query' if text == QUERY else f'context[{text!r}]'} AS {text_column(text).name}" for text in texts]
    behaviour = F.struct(*RECENT_FIELDS, *map(F.expr, kept))  # ordered by its first fields, event_time and event_id
    engaged = F.when(F.col("behaviour").isin(*settings.engaged()), behaviour)
    names = list(settings.behaviours)
    grouped = events.where("user_id IS NOT NULL").groupBy("user_id")
    state = grouped.agg(
        F.max("event_time").alias("as_of"),
        InternalFunction.collect_top_k(engaged, settings.features.k, False).alias("newest"),  # descending
        F.min("event_time").alias("first_time"),
        F.expr("sum(price_minor * coalesce(quantity, 1)) FILTER (WHERE behaviour = 'purchase')").alias("spend"),
        *(F.count_if(F.col("behaviour") == name).alias(f"count_{code}") for code, name in enumerate(names)),
        *aggregates(settings),
    )
    counted = [F.col(f"count_{code}") for code, name in enumerate(names) if name in settings.engaged()]
    recent = F.reverse("newest")
    behaviours = F.transform(recent, lambda one: F.struct(*(one[name] for name in RECENT_FIELDS))) if texts else recent
    return state.select(
        "user_id",
        "as_of",
        behaviours.alias("recent"),
        F.map_from_arrays(
            F.array(*map(F.lit, names)), F.array(*(F.col(f"count_{code}") for code in range(len(names))))
        ).alias("counts"),
        F.coalesce("spend", F.lit(0)).alias("spend_minor"),
        "first_time",
        (sum(counted, F.lit(0)) > F.size(recent)).alias("truncated"),
        *(recent[text_column(text).name].alias(text_column(text).name) for text in texts),
        *(f.name for f in lifetime_features_of(settings)),
    )


def with_user_features(state: DataFrame, settings: Settings, constants: Mapping[str, int] | None = None) -> DataFrame:
    """The state with a column for each feature of users, true at the row's `as_of`; NaN becomes NULL.

    `constants` become columns too. Were they literals of the plan, Spark would generate and compile the code of all
    these columns anew for each batch.
    """
    more = dict(constants or {})
    types = {f.name: f.type for f in profile_features_of(settings.features)}
    own = ", ".join(f"`{name}` {type_}" for name, type_ in [*types.items(), *((name, "bigint") for name in more)])
    schema = f"{state.drop(*types).schema.toDDL()}, {own}"
    return state.mapInArrow(partial(_add_user_features, tuple(settings.behaviours), settings.features, more), schema)


def user_profiles(events: DataFrame, settings: Settings) -> DataFrame:
    """The rows of definitions.profiles_table, without epoch and batch: `profile_state`, then `with_user_features`."""
    return with_user_features(profile_state(events, settings), settings)


def _add_user_features(
    behaviours: tuple[str, ...], settings: FeatureSettings, constants: Mapping[str, int], batches: Batches
) -> Batches:
    features = [f.name for f in profile_features_of(settings)]
    for batch in batches:
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        at = np.asarray(columns["as_of"].cast(UTC_US).cast(pa.int64()), dtype=np.int64)
        found = columns | profile_features(columns, at, behaviours, settings)
        more = {name: pa.repeat(pa.scalar(value, pa.int64()), batch.num_rows) for name, value in constants.items()}
        order = [*(name for name in columns if name not in features), *features]
        yield pa.RecordBatch.from_pydict({name: found[name] for name in order} | more)
