"""The features of users from rows of `user_profiles`, at any time: what stream, night and every reader call. No Spark.

Shape letters: U rows, E behaviours of all rows.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from recsys.config import FeatureSettings
from recsys.features.definitions import profile_features_of, user_features_of
from recsys.features.feature import Feature
from recsys.features.history import I64, at_end, from_arrow
from recsys.features.kept import text_column, texts_of
from recsys.features.keyed import OPERATIONS as KEYED
from recsys.features.keyed import Texts, keyed_features
from recsys.features.user import user_features


def profile_features(
    rows: Mapping[str, pa.Array], at: I64 | int, behaviours: tuple[str, ...], settings: FeatureSettings
) -> dict[str, pa.Array]:
    """All features over the last K behaviours at the times `at` ([U] or one, microseconds since 1970 UTC).

    `rows` has the columns `recent` and, where keys are texts, `recent_<text>` of `user_profiles`. Result: name -> [U],
    of the declared type; NULL: unknown. Lifetime features are columns of the rows themselves, true at their `as_of`.
    """
    history = from_arrow(rows["recent"], behaviours)
    points = at_end(history, at)
    numbers = user_features(history, points, behaviours, settings)
    result = {name: pa.array(values, from_pandas=True) for name, values in numbers.items()}
    features = keyed_of(settings)
    if not features:
        return result
    return result | keyed_features(history, points, behaviours, features, texts(rows, settings))


def keyed_of(settings: FeatureSettings) -> tuple[Feature, ...]:
    """Of `profile_features_of`, those that `keyed_features` computes: lists, maps and counts of different texts."""
    read = user_features_of(settings)
    return tuple(f for f in profile_features_of(settings) if f.operation in KEYED and f not in read)


def texts(rows: Mapping[str, pa.Array], settings: FeatureSettings) -> Texts:
    """The texts [E] that keys of the settings' features come from: each row's, in the order of `recent`."""
    return {text: flat(rows[text_column(text).name]) for text in texts_of(settings.user)}


def flat(lists: pa.ListArray | pa.ChunkedArray) -> pa.Array:
    """The strings of all lists, one after another; a NULL list has none."""
    values = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    return values.flatten().cast(pa.string())
