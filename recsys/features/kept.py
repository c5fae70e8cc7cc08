"""What the state of a user must keep for the features of the settings, and what it cannot keep. No Spark."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from recsys.config import Settings, UserFeature
from recsys.errors import ConfigError, nearest
from recsys.schema import Column
from recsys.settings.user import QUERY

MANY = {"last_k", "top_k", "counts", "means"}  # operations whose value is a list or a map


def is_input(feature: UserFeature) -> bool:
    """Whether the ranker reads it: one number of what `recent` alone says, so that examples know it at any moment."""
    return not (feature.lifetime or feature.text or feature.operation in MANY)


def texts_of(features: Iterable[UserFeature]) -> tuple[str, ...]:
    """The texts of events (`query`, names of the mapping's context) that the features tell behaviours apart by."""
    return tuple(sorted({feature.text for feature in features} - {""}))


def text_column(text: str) -> Column:
    """The column of `user_profiles` that holds a text of each behaviour of `recent`."""
    return Column(
        name=f"recent_{text}", type="array<string>", meaning=f"{text} of each behaviour of `recent`, in order"
    )


def without_declared(settings: Settings) -> Settings:
    """The same settings without further features of users, for whoever asks a state for `recent` alone."""
    return settings.model_copy(update={"features": settings.features.model_copy(update={"user": ()})})


def check_user_features(settings: Settings) -> None:
    """ConfigError: a feature of the settings that is not an exact function of a user's state."""
    for feature in settings.features.user:
        for behaviour in filter(None, (feature.behaviour, feature.per)):
            _check_behaviour(behaviour, feature, settings)
        if feature.k > settings.features.k:
            raise ConfigError(
                f"features.user: {feature.operation} with k: {feature.k}, but a user's state keeps the last "
                f"{settings.features.k} behaviours. Choose a smaller k, or raise features.k."
            )


def check_texts(settings: Settings, query: bool, context: Collection[str]) -> None:
    """ConfigError: a key that the source's mapping gives no event; it has a `query`, and names of its `context`."""
    there = [*(["query"] if query else []), *context]
    for text in texts_of(settings.features.user):
        if text not in there:
            key = "query" if text == QUERY else f"context.{text}"
            raise ConfigError(
                f"features.user: no event has a {text!r}, as {settings.mapping} maps none. Add `{key}` there, or leave "
                f"the feature out.{nearest(text, ['item', 'behaviour', *there])}"
            )


def _check_behaviour(name: str, feature: UserFeature, settings: Settings) -> None:
    if name not in settings.behaviours:
        raise ConfigError(f"features.user: behaviour {name!r} is not declared.{nearest(name, settings.behaviours)}")
    if not feature.lifetime and name not in settings.engaged():
        raise ConfigError(
            f"features.user: {name!r} is not engaged, so a user's state keeps none of them and no window would be "
            f"exact. Set behaviours.{name}.engaged, ask for a lifetime's number, or leave the feature out."
        )
