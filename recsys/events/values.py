"""One column's text as an id, a number or a moment, by the policies of the mapping."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F

from recsys.events.fields import Number, Text, Time

BEHAVIOUR = "_behaviour"  # the row's behaviour type, which policies ask for
LARGEST = 2.0**53
_ZONED = r"\d\d?:\d\d?(:\d\d?([.]\d+)?)?\s*[A-Za-z+-].*$"  # something stands behind the time of day
_EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}


@dataclass(frozen=True)
class Parsed:
    """A number after its policies, whether a policy set it, and its faults as (reason, holds)."""

    value: Column
    imputed: Column
    faults: tuple[tuple[str, Column], ...]


def glob(column: Column, pattern: str) -> Column:
    """Whether the text matches the pattern, in which `*` stands for anything."""
    return column.rlike("^" + re.escape(pattern).replace(r"\*", ".*") + "$")


def asked(only: Iterable[str]) -> Column:
    """Whether the row's behaviour is one of `only`; all are where it is empty."""
    names = list(only)
    return F.coalesce(F.col(BEHAVIOUR).isin(names), F.lit(False)) if names else F.lit(True)


def trimmed(text: Text) -> Column:
    """The text without blanks at its ends and without its suffix; NULL where it is missing or not asked for."""
    value = F.trim(F.col(text.column))
    if text.strip_suffix:
        value = F.regexp_replace(value, re.escape(text.strip_suffix) + "$", "")
    return F.when(asked(text.only_for) & ~value.isin(["", *text.nulls]), value)


def text_faults(name: str, text: Text) -> list[tuple[str, Column]]:
    """Faults of the column `_NAME` that holds the trimmed text."""
    faults = [(f"excluded:{name}", glob(F.col(f"_{name}"), pattern)) for pattern in text.reject]
    if text.missing == "reject":
        faults.append((f"missing:{name}", asked(text.only_for) & F.col(f"_{name}").isNull()))
    return faults


def moment(text: Column, time: Time) -> Column:
    """The text as a moment, by the format and zone of `time`; NULL where it is none."""
    value = F.trim(text)
    if time.format in _EPOCHS:
        # A decimal holds any epoch exactly; what overflows a timestamp is no time.
        micros = value.try_cast("decimal(30,6)") * _EPOCHS[time.format]
        return F.when(F.abs(micros) < 8e15, F.timestamp_micros(micros.try_cast("bigint")))
    parsed = F.try_to_timestamp(value) if time.format == "iso" else F.try_to_timestamp(value, F.lit(time.format))
    if time.timezone == "UTC" or time.zoned:
        return parsed
    local = F.to_utc_timestamp(parsed, time.timezone)
    return F.when(value.rlike(_ZONED), parsed).otherwise(local) if time.format == "iso" else local


def number(name: str, spec: Number) -> Parsed:
    """The number by its policies; outliers are looked at in the mapping's order, each after the ones before it."""
    text, wanted = F.trim(F.col(spec.column)), asked(spec.only_for)
    empty = wanted & F.coalesce(text.isin(["", *spec.nulls]), F.lit(True))
    value = text.try_cast("double") * spec.scale
    value = F.when(wanted & ~empty & (F.abs(value) < LARGEST), value)  # no NaN, not infinite, exact as an integer
    if spec.absolute_for:
        value = F.when(asked(spec.absolute_for), F.abs(value)).otherwise(value)
    faults = [(f"not_a_number:{name}", wanted & ~empty & value.isNull())]
    if spec.missing == "reject":
        faults.append((f"missing:{name}", empty))
    imputed: Column = F.lit(False)
    if not isinstance(spec.missing, str):
        value, imputed = F.when(empty, F.lit(float(spec.missing))).otherwise(value), empty
    for rule in spec.outliers:
        low, high = (F.lit(bound).cast("double") for bound in (rule.low, rule.high))
        outside = F.coalesce(value < low, F.lit(False)) | F.coalesce(value > high, F.lit(False))
        if rule.action == "reject":
            faults.append((f"out_of_range:{name}", outside))
        else:
            instead = F.least(F.greatest(value, low), high) if rule.action == "clip" else F.lit(None).cast("double")
            value, imputed = F.when(outside, instead).otherwise(value), imputed | outside
    return Parsed(value, imputed, tuple(faults))


def first_number(name: str, specs: Iterable[Number]) -> Parsed:
    """One number out of several columns, each of which is for behaviours of its own."""
    parsed = [number(name, spec) for spec in specs]
    imputed: Column = F.lit(False)
    for one in parsed:
        imputed = imputed | one.imputed
    return Parsed(F.coalesce(*(p.value for p in parsed)), imputed, tuple(f for p in parsed for f in p.faults))
