"""From text columns to typed events: every fault of a row becomes a reason, every policy leaves its mark."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.config import Settings
from recsys.errors import ConfigError, nearest
from recsys.events.mapping import Expand, Kind, Mapping, Number, Text, Time
from recsys.events.source import CORRUPT, FILE

LONGEST_ID = 512
LARGEST = 2.0**53
ORDINAL = "_ordinal"
_ZONED = r"(Z|[+-]\d\d:?\d\d)$"


def typed(raw: DataFrame, mapping: Mapping, settings: Settings) -> DataFrame:
    """Source rows as typed columns of `events` (ids of persons still raw), `imputed`, `reasons` and ORDINAL.

    `ingest_time` is the micro-batch's own time, the same when the batch is replayed. ConfigError where the mapping
    yields a behaviour that is not declared.
    """
    _check_behaviours(mapping, settings)
    rows = expand(raw, mapping) if mapping.expand else raw.withColumn(ORDINAL, F.lit(0))
    rows = rows.withColumn("ingest_time", F.current_timestamp())
    rows = rows.withColumn("_behaviour", _behaviour(mapping.behaviour, mapping.expand))
    numbers = {"price_minor": mapping.price, "quantity": mapping.quantity, "value": mapping.value}
    numbers["position"] = mapping.position
    parsed = {name: _number(number) for name, number in numbers.items() if number}
    texts = {"item_id": mapping.item, "user_id": mapping.user, "session_id": mapping.session}
    texts |= {"query": mapping.query, "request_id": mapping.request}
    rows = rows.select(
        "*",
        _time(mapping.time).alias("_time"),
        *(_text(text).alias(f"_{name}") for name, text in texts.items()),
        *(value.alias(f"_{name}") for name, (value, _) in parsed.items()),
        *(mark.alias(f"_{name}_imputed") for name, (_, mark) in parsed.items()),
    )
    reasons = F.array_compact(F.array(*_reasons(mapping, settings, numbers)))
    return rows.select(
        F.col("_time").alias("event_time"),
        F.col("_behaviour").alias("behaviour"),
        *(F.col(f"_{name}").alias(name) for name in texts),
        _typed_number("price_minor", parsed, "bigint"),
        F.coalesce(_typed_number("quantity", parsed, "bigint"), F.lit(1)).alias("quantity"),
        _typed_number("value", parsed, "double"),
        F.when(F.col(ORDINAL) > 0, F.col(ORDINAL))
        .otherwise(_typed_number("position", parsed, "int"))
        .alias("position"),
        _context(mapping).alias("context"),
        F.array_compact(F.array(*_marks(parsed))).cast("array<string>").alias("imputed"),
        _known_at(mapping).alias("known_at"),
        "ingest_time",
        reasons.alias("reasons"),
        ORDINAL,
        *(F.col(name).alias(f"src_{name}") for name in [*mapping.columns(), CORRUPT]),
        FILE,
    )


def expand(raw: DataFrame, mapping: Mapping) -> DataFrame:
    """Each element of the list column as a row of its own (ORDINAL from 1) beside its row (ORDINAL 0).

    The row itself gets the price that the list shows for its item.
    """
    spec = mapping.expand
    if spec is None:
        return raw.withColumn(ORDINAL, F.lit(0))
    separator = re.escape(spec.separator)
    items = F.coalesce(F.split(spec.column, separator), F.array().cast("array<string>"))
    prices = F.split(spec.prices, separator) if spec.prices else F.array().cast("array<string>")
    place = F.array_position(items, F.col(mapping.item.column)).cast("int")
    own = F.struct(
        F.lit(0).alias("ordinal"),
        F.col(mapping.item.column).alias("item"),
        F.when(place > 0, F.get(prices, place - 1)).alias("price"),
    )
    element = F.transform(
        items, lambda item, i: F.struct((i + 1).alias("ordinal"), item.alias("item"), F.get(prices, i).alias("price"))
    )
    rows = raw.withColumn("_element", F.explode(F.concat(F.array(own), element)))
    replaced = {ORDINAL: F.col("_element.ordinal"), mapping.item.column: F.col("_element.item")}
    if spec.prices:
        replaced[spec.prices] = F.col("_element.price")
    return rows.withColumns(replaced).drop("_element")


def _check_behaviours(mapping: Mapping, settings: Settings) -> None:
    wanted = [mapping.behaviour.constant, *mapping.behaviour.values.values()]
    wanted += [mapping.expand.behaviour] if mapping.expand else []
    for name in filter(None, wanted):
        if name not in settings.behaviours:
            raise ConfigError(
                f"mapping {mapping.name!r}: behaviour {name!r} is not declared.{nearest(name, settings.behaviours)}"
            )


def glob(column: Column, pattern: str) -> Column:
    """Whether the text matches the pattern, in which `*` stands for anything."""
    return column.rlike("^" + re.escape(pattern).replace(r"\*", ".*") + "$")


def _behaviour(kind: Kind, spec: Expand | None) -> Column:
    found: Column = F.lit(kind.constant) if kind.constant else F.lit(None).cast("string")
    for pattern, name in reversed(kind.values.items()):
        found = F.when(glob(F.col(kind.column), pattern), F.lit(name)).otherwise(found)
    return F.when(F.col(ORDINAL) > 0, F.lit(spec.behaviour)).otherwise(found) if spec else found


def _for(value: Column, only: Iterable[str]) -> Column:
    names = list(only)
    return F.when(F.col("_behaviour").isin(names), value) if names else value


def _text(text: Text | None) -> Column:
    if text is None:
        return F.lit(None).cast("string")
    value = F.trim(F.col(text.column))
    if text.strip_suffix:
        value = F.regexp_replace(value, re.escape(text.strip_suffix) + "$", "")
    missing = ["", *text.nulls]
    return _for(F.when(~value.isin(missing), value), text.only_for)


def _time(time: Time) -> Column:
    return moment(F.col(time.column), time)


def moment(text: Column, time: Time) -> Column:
    """The text as a moment, by the format and zone of `time`; NULL where it is none."""
    value = F.trim(text)
    epochs = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
    if time.format in epochs:
        # A decimal holds any epoch exactly; what overflows a timestamp is no time.
        micros = value.try_cast("decimal(30,6)") * epochs[time.format]
        return F.when(F.abs(micros) < 8e15, F.timestamp_micros(micros.try_cast("bigint")))
    parsed = F.try_to_timestamp(value) if time.format == "iso" else F.try_to_timestamp(value, F.lit(time.format))
    if time.timezone == "UTC":
        return parsed
    return F.when(value.rlike(_ZONED), parsed).otherwise(F.to_utc_timestamp(parsed, time.timezone))


def _known_at(mapping: Mapping) -> Column:
    if mapping.known.received:
        return F.coalesce(_time(mapping.known.received), F.col("ingest_time"))
    if mapping.known.delay_s is not None:
        return F.col("_time") + F.make_dt_interval(secs=F.lit(mapping.known.delay_s))
    return F.col("ingest_time")


def _raw_number(number: Number) -> tuple[Column, Column]:
    """The scaled number, and whether the cell is empty."""
    text = F.trim(F.col(number.column))
    empty = F.coalesce(text == "", F.lit(True))
    value = text.try_cast("double") * number.scale
    value = F.when(F.abs(value) < LARGEST, value)  # neither NaN nor infinite, and exact as an integer
    if number.absolute_for:
        value = F.when(F.col("_behaviour").isin(list(number.absolute_for)), F.abs(value)).otherwise(value)
    return _for(value, number.only_for), empty


def _number(number: Number) -> tuple[Column, Column]:
    """The number after its policies, and whether a policy set it."""
    value, empty = _raw_number(number)
    mark: Column = F.lit(False)
    if not isinstance(number.missing, str):
        value = F.when(empty, F.lit(float(number.missing))).otherwise(value)
        mark = empty
    for rule in number.outliers:
        low, high = (F.lit(bound).cast("double") for bound in (rule.low, rule.high))
        outside = F.coalesce(value < low, F.lit(False)) | F.coalesce(value > high, F.lit(False))
        if rule.action == "clip":
            value, mark = F.least(F.greatest(value, low), high), mark | outside
        elif rule.action == "missing":
            value, mark = F.when(~outside, value), mark | outside
    return value, mark


def _typed_number(name: str, parsed: dict[str, tuple[Column, Column]], kind: str) -> Column:
    if name not in parsed:
        return F.lit(None).cast(kind).alias(name)
    value = F.col(f"_{name}")
    return (value if kind == "double" else F.round(value)).try_cast(kind).alias(name)


def _marks(parsed: dict[str, tuple[Column, Column]]) -> list[Column]:
    marks = [F.when(F.col(f"_{name}_imputed"), F.lit(name)) for name in parsed]
    return marks or [F.lit(None).cast("string")]


def _context(mapping: Mapping) -> Column:
    pairs = [part for name, column in mapping.context.items() for part in (F.lit(name), F.col(column))]
    whole = F.create_map(*pairs) if pairs else F.create_map().cast("map<string,string>")
    return F.map_filter(whole, lambda _, value: value.isNotNull())


def _reasons(mapping: Mapping, settings: Settings, numbers: dict[str, Number | None]) -> list[Column]:
    limits = settings.stream
    time, arrival, item = F.col("_time"), F.col("ingest_time"), F.col("_item_id")
    known = _known_at(mapping)
    clock = F.trim(F.col(mapping.time.column))
    no_clock = F.coalesce(clock == "", F.lit(True))
    checks: list[tuple[str, Column]] = [
        ("missing:event_time", no_clock),
        ("bad_time", ~no_clock & time.isNull()),
        ("too_late", time < known - F.make_dt_interval(days=F.lit(limits.retention_days))),
        ("in_the_future", time > arrival + F.make_dt_interval(mins=F.lit(limits.future_minutes))),
        ("unknown_behaviour", F.col("_behaviour").isNull()),
        ("too_long:item_id", F.length(item) > LONGEST_ID),
    ]
    if mapping.item_required:
        checks.append(("missing:item_id", item.isNull() & (F.coalesce(F.col("_behaviour"), F.lit("")) != "search")))
    for name, text in (("item_id", mapping.item), ("user_id", mapping.user)):
        checks += [(f"excluded:{name}", glob(F.col(f"_{name}"), p)) for p in (text.reject if text else ())]
    for name, number in numbers.items():
        checks += _number_checks(name, number) if number else []
    readable = F.col(CORRUPT).isNull()
    faults = [F.when(readable & F.coalesce(check, F.lit(False)), F.lit(code)) for code, check in checks]
    return [F.when(~readable, F.lit("unreadable")), *faults]


def _number_checks(name: str, number: Number) -> list[tuple[str, Column]]:
    value, empty = _raw_number(number)
    asked = F.col("_behaviour").isin(list(number.only_for)) if number.only_for else F.lit(True)
    checks = [(f"not_a_number:{name}", asked & ~empty & value.isNull())]
    if number.missing == "reject":
        checks.append((f"missing:{name}", asked & empty))
    for rule in number.outliers:
        if rule.action == "reject":
            low, high = (F.lit(bound).cast("double") for bound in (rule.low, rule.high))
            checks.append((f"out_of_range:{name}", (value < low) | (value > high)))
    return checks
