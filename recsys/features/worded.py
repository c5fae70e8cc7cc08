"""A feature of users from its declaration: its unit, type, default and meaning. No Spark, no computation in here."""

from __future__ import annotations

from collections.abc import Callable

from recsys.config import UserFeature
from recsys.features.feature import VALUES, WORDS, Default, Feature, Type, trend_meaning
from recsys.settings.user import BEHAVIOUR, DECAYED, ITEM, LIFETIME, OF_LIFETIME, QUERY, TERM
from recsys.tables import SKETCH_ERROR

Told = tuple[str, Type, Default, str]  # unit, type, default, meaning
COUNTED = {
    "count",
    "decayed_count",
    "trend",
    "lifetime_count",
    "lifetime_decayed_count",
}  # without a behaviour their name says `engaged`


def of_user(f: UserFeature) -> Feature:
    """A user feature from its declaration, of this package or of a user's settings."""
    unit, type_, default, meaning = _TOLD.get(f.operation, _value)(f)
    return Feature(
        entity="user",
        operation=f.operation,
        of=f.behaviour or ("engaged" if f.operation in COUNTED else ""),
        value=f.value,
        window=f.window,
        reference=f.reference,
        key=f.key,
        k=f.k,
        per=f.per,
        prior=f.prior if f.per else None,
        unit=unit,
        type=type_,
        default=default,
        meaning=meaning,
    )


def _kind(f: UserFeature) -> str:
    return f.behaviour or "engaged"


def _inside(f: UserFeature) -> str:
    return f" in {f.window}" if f.window else ""


def _over(f: UserFeature) -> str:
    return f"{_kind(f)} behaviours{_inside(f) or ' within the last K'}"


def _count(f: UserFeature) -> Told:
    return "events", "bigint", 0, f"number of {_kind(f)} behaviours{_inside(f)} within the last K"


def _decayed_count(f: UserFeature) -> Told:
    meaning = f"{_kind(f)} behaviours within the last K, each halved every {f.window} of its age"
    return "events", "double", 0.0, meaning


def _trend(f: UserFeature) -> Told:
    return "ratio", "double", 1.0, trend_meaning(_kind(f), f.window, f.reference)


def _distinct_items(f: UserFeature) -> Told:
    return "items", "bigint", 0, f"different items{_inside(f)}"


def _recency(f: UserFeature) -> Told:
    return "s", "double", None, f"time since the newest {f.behaviour or 'behaviour'}{_inside(f)}"


def _value(f: UserFeature) -> Told:
    unit, what = VALUES[f.value]
    meaning = f"{WORDS[f.operation]} of the {what} over {_over(f)}"
    if f.operation == "sum":
        return (unit, "double", 0.0, meaning) if f.value == "value" else (unit, "bigint", 0, meaning)
    return unit, "double", None, meaning


def _rate(f: UserFeature) -> Told:
    good, prior = f.prior
    meaning = f"({f.behaviour} + {good:g}) / (the larger of {f.per} and {f.behaviour} + {prior:g})"
    where = "all events so far" if f.lifetime else f"the last K{_inside(f)}"
    return "ratio", "double", good / prior, f"{meaning} over {where}"


def _plural(f: UserFeature) -> str:
    named = {ITEM: "items", BEHAVIOUR: "behaviour types", QUERY: "queries", TERM: "words of queries"}
    return named.get(f.key, f"values of {f.key}")


def _distinct(f: UserFeature) -> Told:
    return _plural(f), "bigint", 0, f"different {_plural(f)} of {_over(f)}"


def _last(f: UserFeature) -> Told:
    return (
        _plural(f),
        "array<string>",
        (),
        f"the newest {f.k} {_plural(f)} of {_over(f)}, repeated ones too, newest first",
    )


def _top(f: UserFeature) -> Told:
    meaning = f"the {f.k} most frequent {_plural(f)} of {_over(f)}, most frequent first, of equals the newest first"
    return "events", "array<struct<key: string, count: bigint>>", (), meaning


def _counts(f: UserFeature) -> Told:
    return "events", "map<string,bigint>", (), f"number of {_over(f)} by {f.key}"


def _means(f: UserFeature) -> Told:
    unit, what = VALUES[f.value]
    return unit, "map<string,double>", (), f"mean of the {what} over {_over(f)} by {f.key}"


def _lifetime_count(f: UserFeature) -> Told:
    return "events", "bigint", 0, f"number of {_kind(f)} events so far"


def _lifetime_recency(f: UserFeature) -> Told:
    return "s", "double", None, f"time since the newest {f.behaviour or 'engaged behaviour'} ever"


def _lifetime_value(f: UserFeature) -> Told:
    unit, what = VALUES[f.value]
    operation = f.operation.removeprefix(LIFETIME)
    meaning = f"{WORDS[operation]} of the {what} over all {_kind(f)} events so far"
    return (unit, "bigint", 0, meaning) if operation == "sum" else (unit, "double", None, meaning)


def _lifetime_decayed(f: UserFeature) -> Told:
    unit, what = VALUES[f.value] if f.value else ("events", "")
    summed = f"sum of the {what}, without those below 0, over all" if f.value else "all"
    return unit, "double", 0.0, f"{summed} {_kind(f)} events so far, each halved every {f.window} of its age"


def _lifetime_distinct(f: UserFeature) -> Told:
    return _plural(f), "bigint", 0, f"different {_plural(f)} of all {_kind(f)} events so far, {SKETCH_ERROR}"


_TOLD: dict[str, Callable[[UserFeature], Told]] = {
    "count": _count,
    "decayed_count": _decayed_count,
    "trend": _trend,
    "distinct_items": _distinct_items,
    "recency_s": _recency,
    "rate": _rate,
    "distinct": _distinct,
    "last_k": _last,
    "top_k": _top,
    "counts": _counts,
    "means": _means,
    "lifetime_count": _lifetime_count,
    "lifetime_recency_s": _lifetime_recency,
    "lifetime_rate": _rate,
    **dict.fromkeys(OF_LIFETIME, _lifetime_value),
    **dict.fromkeys(DECAYED, _lifetime_decayed),
    "lifetime_distinct": _lifetime_distinct,
}
