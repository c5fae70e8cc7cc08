"""From text columns to typed events: every fault of a row becomes a reason, every policy leaves its mark."""

from __future__ import annotations

from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.commit import interpreted
from recsys.config import Settings
from recsys.events.fields import Expand, Kind
from recsys.events.lists import ORDINAL, OWN, expand, replaced
from recsys.events.mapping import Mapping, check_behaviours
from recsys.events.source import CORRUPT, FILE
from recsys.events.values import BEHAVIOUR, Parsed, first_number, glob, moment, text_faults, trimmed

LONGEST_ID = 512
TEXTS = ("item_id", "user_id", "session_id", "query", "request_id")
Check = tuple[str, Column]


def typed(raw: DataFrame, mapping: Mapping, settings: Settings) -> DataFrame:
    """Source rows as typed columns of `events` (ids of persons still raw), `imputed`, `reasons` and ORDINAL.

    `ingest_time` is the micro-batch's own time, the same when the batch is replayed. The source's columns follow as
    `src_NAME`. ConfigError where the mapping yields a behaviour that is not declared.
    """
    check_behaviours(mapping, settings)
    rows = expand(raw, mapping).withColumn("ingest_time", interpreted(F.current_timestamp()))
    rows = rows.withColumn(BEHAVIOUR, _behaviour(mapping.behaviour, mapping.expand))
    numbers = {name: first_number(name, specs) for name, specs in mapping.numbers().items()}
    texts = mapping.texts()
    rows = rows.select(
        "*",
        moment(F.col(mapping.time.column), mapping.time).alias("_time"),
        *(_or_null(trimmed(texts[name]) if name in texts else None).alias(f"_{name}") for name in TEXTS),
        *(number.value.alias(f"_{name}") for name, number in numbers.items()),
        *(number.imputed.alias(f"_{name}_imputed") for name, number in numbers.items()),
    )
    place = _number("position", numbers, "int")
    own = set(replaced(mapping))
    return rows.select(
        F.col("_time").alias("event_time"),
        F.col(BEHAVIOUR).alias("behaviour"),
        *(F.col(f"_{name}").alias(name) for name in TEXTS),
        _number("price_minor", numbers, "bigint").alias("price_minor"),
        F.coalesce(_number("quantity", numbers, "bigint"), F.lit(1)).alias("quantity"),
        _number("value", numbers, "double").alias("value"),
        F.when(F.col(ORDINAL) > 0, F.col(ORDINAL)).otherwise(place).alias("position"),
        _context(mapping).alias("context"),
        _marks(numbers).alias("imputed"),
        _known_at(mapping).alias("known_at"),
        "ingest_time",
        _present(_reasons(mapping, settings, numbers)).alias("reasons"),
        ORDINAL,
        *(F.col(f"{OWN}{n}" if n in own else n).alias(f"src_{n}") for n in [*mapping.columns(), CORRUPT]),
        FILE,
    )


def _or_null(text: Column | None) -> Column:
    return F.lit(None).cast("string") if text is None else text


def _behaviour(kind: Kind, spec: Expand | None) -> Column:
    found: Column = F.lit(kind.constant) if kind.constant else F.lit(None).cast("string")
    for pattern, name in reversed(kind.values.items()):
        found = F.when(glob(F.col(kind.column), pattern), F.lit(name)).otherwise(found)
    return F.when(F.col(ORDINAL) > 0, F.lit(spec.behaviour)).otherwise(found) if spec else found


def _known_at(mapping: Mapping) -> Column:
    received = mapping.known.received
    if received:
        return F.coalesce(moment(F.col(received.column), received), F.col("ingest_time"))
    if mapping.known.delay_s is not None:
        return F.col("_time") + F.make_dt_interval(secs=F.lit(mapping.known.delay_s))
    return F.col("ingest_time")


def _number(name: str, parsed: dict[str, Parsed], kind: str) -> Column:
    if name not in parsed:
        return F.lit(None).cast(kind)
    value = F.col(f"_{name}")
    return (value if kind == "double" else F.round(value)).try_cast(kind)


def _marks(parsed: dict[str, Parsed]) -> Column:
    return _present([(name, F.col(f"_{name}_imputed")) for name in parsed])


def _context(mapping: Mapping) -> Column:
    names = mapping.context
    whole = F.create_map(*(part for name, column in names.items() for part in (F.lit(name), F.col(column))))
    if not names:
        return whole.cast("map<string,string>")
    lacking = reduce(or_, (F.col(column).isNull() for column in names.values()))
    return F.when(lacking, F.map_filter(whole, lambda _, value: value.isNotNull())).otherwise(whole)


def _present(marks: list[Check]) -> Column:
    """The names of the marks that hold, in order.

    Spark generates no code for the filter of a list, so rows without any, nearly all, must not come to it.
    """
    none = F.array().cast("array<string>")
    if not marks:
        return none
    whole = F.array_compact(F.array(*(F.when(holds, F.lit(name)) for name, holds in marks)))
    return F.when(reduce(or_, (F.coalesce(holds, F.lit(False)) for _, holds in marks)), whole).otherwise(none)


def _reasons(mapping: Mapping, settings: Settings, numbers: dict[str, Parsed]) -> list[Check]:
    checks = [*_event_checks(mapping, settings), *_item_checks(mapping)]
    checks += [check for name, text in mapping.texts().items() for check in text_faults(name, text)]
    checks += [check for number in numbers.values() for check in number.faults]
    readable = F.col(CORRUPT).isNull()
    faults: dict[str, Column] = {}
    for code, check in checks:  # two rules may give one reason
        holds = F.coalesce(check, F.lit(False))
        faults[code] = faults[code] | holds if code in faults else holds
    return [("unreadable", ~readable), *((code, readable & fault) for code, fault in faults.items())]


def _event_checks(mapping: Mapping, settings: Settings) -> list[Check]:
    limits, time, known = settings.stream, F.col("_time"), _known_at(mapping)
    no_clock = F.coalesce(F.trim(F.col(mapping.time.column)) == "", F.lit(True))
    latest = F.col("ingest_time") + F.make_dt_interval(mins=F.lit(limits.future_minutes))
    checks: list[Check] = [
        ("missing:event_time", no_clock),
        ("bad_time", ~no_clock & time.isNull()),
        ("too_late", time < known - F.make_dt_interval(days=F.lit(limits.retention_days))),
        ("in_the_future", time > latest),
        ("unknown_behaviour", F.col(BEHAVIOUR).isNull()),
    ]
    if not mapping.id.column:
        return checks
    own = F.col(f"{OWN}{mapping.id.column}" if mapping.id.column in replaced(mapping) else mapping.id.column)
    no_id = F.coalesce(F.trim(own) == "", F.lit(True))
    return [*checks, ("missing:event_id", no_id), ("too_long:event_id", F.length(own) > LONGEST_ID)]


def _item_checks(mapping: Mapping) -> list[Check]:
    checks = [("too_long:item_id", F.length("_item_id") > LONGEST_ID)]
    if mapping.item_required:
        searching = F.coalesce(F.col(BEHAVIOUR) == "search", F.lit(False))
        checks.append(("missing:item_id", F.col("_item_id").isNull() & ~searching))
    return checks
