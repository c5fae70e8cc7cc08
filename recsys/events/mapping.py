"""What a user writes about a source, in YAML and without code: format, columns, value names, ids, policies."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from recsys.config import Behaviour, Section, Settings, parse, read_yaml
from recsys.errors import ConfigError

Seconds = float


class Format(Section):
    """How the source's files are read."""

    type: Literal["json", "csv", "parquet", "delta"] = Field(description="file format; json is one object a line")
    pattern: str = Field("*", description="glob of the file names; .gz is unpacked")
    header: bool = Field(True, description="csv: the first line names the columns")
    columns: tuple[str, ...] = Field((), description="columns in file order, for csv without header; else optional")
    separator: str = Field(",", description="csv: field separator")
    encoding: str = Field("UTF-8", description="csv: character set")


class Time(Section):
    """A column that holds a moment."""

    column: str
    format: str = Field("iso", description="iso, epoch_s, epoch_ms, epoch_us, or a Spark datetime pattern")
    timezone: str = Field("UTC", description="zone of times that carry none")


class Text(Section):
    """A column that holds an id or text, with what to do where it is missing."""

    column: str
    nulls: tuple[str, ...] = Field((), description="values that mean missing, beside the empty one")
    reject: tuple[str, ...] = Field((), description="values (globs) whose row is set aside as `excluded`")
    strip_suffix: str = Field("", description="suffix to cut, such as `.0` of a number that is an id")
    only_for: tuple[str, ...] = Field((), description="behaviours whose rows have it; empty: all")


class Outlier(Section):
    """Bounds of a number and what happens outside of them."""

    low: float | None = Field(None, description="smallest usual value, closed")
    high: float | None = Field(None, description="largest usual value, closed")
    action: Literal["reject", "clip", "missing"] = Field("reject", description="clip and missing mark the cell imputed")


class Number(Section):
    """A column that holds a number, with its missing-value and outlier policies."""

    column: str
    scale: float = Field(1.0, gt=0, description="factor into our unit: 100 turns currency into minor units")
    absolute_for: tuple[str, ...] = Field((), description="behaviours whose sign is dropped")
    missing: Literal["keep", "reject"] | float = Field("keep", description="a number is filled in and marked imputed")
    outliers: tuple[Outlier, ...] = Field((), description="checked in order, after scaling")
    only_for: tuple[str, ...] = Field((), description="behaviours whose rows have it; empty: all")


class Kind(Section):
    """Where the behaviour type comes from: a column's value by glob, or a constant."""

    column: str = ""
    values: dict[str, str] = Field(default={}, description="glob of the source's value -> behaviour; first match wins")
    constant: str = ""

    @model_validator(mode="after")
    def _one_of(self) -> Kind:
        if bool(self.constant) == bool(self.column and self.values):
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
        return self


class Known(Section):
    """When the pipeline could first know an event."""

    received: Time | None = Field(None, description="the source's received time")
    delay_s: Seconds | None = Field(None, ge=0, description="for history: event time plus this many seconds")


class Expand(Section):
    """A list column: each element becomes an input row of its own, beside the row it stands in."""

    column: str = Field(description="items, separated")
    prices: str = Field("", description="prices in the same order")
    separator: str = "|"
    behaviour: str = Field("impression", description="behaviour of the elements; the list is one request")


class Catalogue(Section):
    """The catalogue's own file. Columns that are absent stay unknown."""

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


class Mapping(Section):
    """A source's mapping onto the table `events`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="written into each event's `origin`")
    about: str = Field("", description="what the rows are and what was decided about them")
    format: Format
    id: Identity
    time: Time
    known: Known = Known()
    behaviour: Kind
    item: Text
    user: Text | None = Field(None, description="absent: all rows are anonymous")
    session: Text | None = None
    query: Text | None = None
    request: Text | None = None
    position: Number | None = None
    price: Number | None = None
    quantity: Number | None = None
    value: Number | None = None
    context: dict[str, str] = Field(default={}, description="our name -> column kept as text")
    expand: Expand | None = None
    item_required: bool = Field(True, description="a row without an item is rejected, searches excepted")
    behaviours: dict[str, Behaviour] = Field(default={}, description="further behaviour types")
    catalogue: Catalogue | None = None
    catalogue_path: str = Field("", description="the catalogue's file, beside or below the source's folder")

    def columns(self) -> tuple[str, ...]:
        """Every source column that the mapping names, once, in order."""
        fields = (self.user, self.session, self.item, self.query, self.request)
        numbers = (self.position, self.price, self.quantity, self.value)
        received = self.known.received
        names = [
            self.id.column,
            *self.id.columns,
            self.time.column,
            received.column if received else "",
            self.behaviour.column,
            *(f.column for f in fields if f),
            *(n.column for n in numbers if n),
            *self.context.values(),
            *((self.expand.column, self.expand.prices) if self.expand else ()),
        ]
        return tuple(dict.fromkeys(name for name in names if name))

    def essential(self) -> tuple[str, ...]:
        """The source columns without which no row is an event."""
        names = [self.id.column, *self.id.columns, self.time.column, self.behaviour.column, self.item.column]
        return tuple(dict.fromkeys(name for name in names if name))

    def persons(self) -> tuple[str, ...]:
        """The source columns that name a person."""
        return tuple(field.column for field in (self.user, self.session) if field)


def merged(settings: Settings, mapping: Mapping) -> Settings:
    """The settings with the mapping's further behaviour types behind their own, so that codes stay what they are."""
    return settings.model_copy(update={"behaviours": {**settings.behaviours, **mapping.behaviours}})


def load_mapping(path: str) -> Mapping:
    """Read a mapping. ConfigError names the file, the key and the nearest valid one."""
    file = Path(path)
    if not file.is_file():
        shipped = ", ".join(sorted(p.stem for p in file.parent.glob("*.yaml"))) or "none"
        raise ConfigError(f"mapping {path!r} does not exist. In its folder: {shipped}.")
    return parse(Mapping, read_yaml(file.read_text(encoding="utf-8"), path), path)
