"""The parts of a mapping: how one column, one list or one file is read."""

from __future__ import annotations

import difflib
import re
from typing import Literal
from zoneinfo import available_timezones

from pydantic import Field, field_validator, model_validator

from recsys.config import Section
from recsys.errors import nearest

ENCODINGS = ("US-ASCII", "ISO-8859-1", "UTF-8", "UTF-16", "UTF-16BE", "UTF-16LE", "UTF-32")  # those that Spark reads
TIMES = ("iso", "epoch_s", "epoch_ms", "epoch_us")
Seconds = float


class Format(Section):
    """How the source's files are read."""

    type: Literal["json", "csv", "parquet", "delta"] = Field(description="file format; json is one object a line")
    pattern: str = Field("*", description="glob of the file names; .gz is unpacked")
    header: bool = Field(True, description="csv: the first line names the columns")
    columns: tuple[str, ...] = Field((), description="columns in file order, for csv without header; else optional")
    separator: str = Field(",", description="csv: field separator")
    encoding: str = Field("UTF-8", description="csv: character set")

    @field_validator("encoding")
    @classmethod
    def _readable(cls, encoding: str) -> str:
        if encoding.upper() not in ENCODINGS:
            raise ValueError(f"Spark does not read this character set.{nearest(encoding.upper(), ENCODINGS)}")
        return encoding.upper()

    @model_validator(mode="after")
    def _named_columns(self) -> Format:
        if self.type == "csv" and not self.header and not self.columns:
            raise ValueError("a csv without header needs its column names: add `columns`")
        return self


class Time(Section):
    """A column that holds a moment."""

    column: str
    format: str = Field("iso", description="iso, epoch_s, epoch_ms, epoch_us, or a Spark datetime pattern")
    timezone: str = Field("UTC", description="zone of times that carry none")

    @field_validator("format")
    @classmethod
    def _names_year_and_day(cls, form: str) -> str:
        letters = set(_unquoted(form))
        if form not in TIMES and not (set("yu") & letters and set("dD") & letters):
            raise ValueError(f"neither a known format nor a datetime pattern with year and day.{nearest(form, TIMES)}")
        return form

    @field_validator("timezone")
    @classmethod
    def _exists(cls, zone: str) -> str:
        known = available_timezones()
        if zone not in known:
            close = difflib.get_close_matches(zone, known, n=1, cutoff=0.5)
            raise ValueError("no time zone has this name" + (f". Did you mean {close[0]!r}?" if close else ""))
        return zone

    @property
    def zoned(self) -> bool:
        """Whether the format is a pattern that reads a zone."""
        return self.format not in TIMES and bool(set("VzOXxZ") & set(_unquoted(self.format)))


def _unquoted(pattern: str) -> str:
    """A datetime pattern without its literal text."""
    return re.sub(r"'[^']*'", "", pattern)


class Text(Section):
    """A column that holds an id or text, with what to do where it is missing."""

    column: str
    nulls: tuple[str, ...] = Field((), description="values that mean missing, beside the empty one")
    reject: tuple[str, ...] = Field((), description="values (globs) whose row is set aside as `excluded`")
    missing: Literal["keep", "reject"] = Field("keep", description="reject: a row without it is set aside")
    strip_suffix: str = Field("", description="suffix to cut, such as `.0` of a number that is an id")
    only_for: tuple[str, ...] = Field((), description="behaviours whose rows have it; empty: all")


class Outlier(Section):
    """Bounds of a number and what happens outside of them."""

    low: float | None = Field(None, description="smallest usual value, closed")
    high: float | None = Field(None, description="largest usual value, closed")
    action: Literal["reject", "clip", "missing"] = Field("reject", description="clip and missing mark the cell imputed")

    @model_validator(mode="after")
    def _a_range(self) -> Outlier:
        if self.low is None and self.high is None:
            raise ValueError("give `low`, `high` or both")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"`low` {self.low:g} lies above `high` {self.high:g}: every number would be an outlier")
        return self


class Number(Section):
    """A column that holds a number, with its missing-value and outlier policies."""

    column: str
    scale: float = Field(1.0, gt=0, description="factor into our unit: 100 turns currency into minor units")
    nulls: tuple[str, ...] = Field((), description="values that mean missing, beside the empty one")
    absolute_for: tuple[str, ...] = Field((), description="behaviours whose sign is dropped")
    missing: Literal["keep", "reject"] | float = Field("keep", description="a number is filled in and marked imputed")
    outliers: tuple[Outlier, ...] = Field((), description="checked in order, after scaling")
    only_for: tuple[str, ...] = Field((), description="behaviours whose rows have it; empty: all")


class Kind(Section):
    """Where the behaviour type comes from: a column's value by glob, or a constant."""

    column: str = ""
    values: dict[str, str] = Field(default={}, description="glob of the source's value -> behaviour; first match wins")
    constant: str = ""

    @field_validator("values", mode="before")
    @classmethod
    def _numbers_as_text(cls, values: object) -> object:  # YAML reads `3: purchase` as a number
        if not isinstance(values, dict):
            return values
        named = {str(key) if type(key) is int else key: name for key, name in values.items()}
        if len(named) < len(values):
            raise ValueError("two of the values are the same text: each may be named once")
        return named

    @model_validator(mode="after")
    def _one_of(self) -> Kind:
        of_column = bool(self.column), bool(self.values)
        if of_column != (not self.constant, not self.constant):
            raise ValueError("give either `constant`, or `column` with `values`")
        return self


class Identity(Section):
    """What makes two rows the same event."""

    column: str = Field("", description="the source's own event id")
    columns: tuple[str, ...] = Field((), description="columns whose equality makes two rows one event")
    equal_rows: Literal["duplicate", "repetition"] = Field(
        "duplicate", description="repetition: the n-th equal row of a file is an event of its own"
    )

    @model_validator(mode="after")
    def _one_of(self) -> Identity:
        if bool(self.column) == bool(self.columns):
            raise ValueError("give either `column`, or `columns`")
        if self.column and self.equal_rows == "repetition":
            raise ValueError("`equal_rows: repetition` needs `columns`: rows of the same id are one event")
        return self


class Known(Section):
    """When the pipeline could first know an event."""

    received: Time | None = Field(None, description="the source's received time")
    delay_s: Seconds | None = Field(None, ge=0, description="for history: event time plus this many seconds")


class Expand(Section):
    """A list column: each element becomes an input row of its own, beside the row it stands in.

    Where the mapping has no `request`, the row's event id names the list: for its elements and for the row itself.
    """

    column: str = Field(description="items: separated text, or a list")
    prices: str = Field("", description="prices in the same order")
    separator: str = "|"
    behaviour: str = Field("impression", description="behaviour of the elements")


class Catalogue(Section):
    """The catalogue's own file: a row an item or, with `changed`, one for each change. Absent columns stay unknown."""

    format: Format
    item: str
    title: str = ""
    category: str = ""
    category_separator: str = Field("|", description="becomes `|` in our category path")
    price: Number | None = None
    description: str = ""
    sales: str = ""
    stock: str = ""
    launched: Time | None = None
    changed: Time | None = Field(None, description="since when the row holds; it does until the item's next row")
