"""What a user writes about a source, in YAML and without code: format, columns, value names, ids, policies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field, PrivateAttr, model_validator

from recsys.config import Behaviour, Section, Settings, parse, read_yaml
from recsys.errors import ConfigError, nearest
from recsys.events.fields import Catalogue, Expand, Format, Identity, Kind, Known, Number, Text, Time


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
    values: dict[str, Number] = Field(default={}, description="instead of `value`: behaviour -> its own value")
    context: dict[str, str] = Field(default={}, description="our name -> column kept as text")
    expand: Expand | None = None
    item_required: bool = Field(True, description="a row without an item is rejected, searches excepted")
    behaviours: dict[str, Behaviour] = Field(default={}, description="further behaviour types")
    catalogue: Catalogue | None = None
    catalogue_path: str = Field("", description="the catalogue's file, beside or below the source's folder")

    _file: str = PrivateAttr("")

    @model_validator(mode="after")
    def _no_person_in_the_open(self) -> Mapping:
        kept = {"id": self.id.column, "item": self.item.column, "query": self.query.column if self.query else ""}
        kept |= {"request": self.request.column if self.request else ""}
        kept |= {f"context.{name}": column for name, column in self.context.items()}
        for key, column in kept.items():
            if column and column in self.persons():
                raise ValueError(f"`{key}` would keep {column!r} as it is, but that names a person (user or session)")
        return self

    @model_validator(mode="after")
    def _repetitions_have_files(self) -> Mapping:
        if self.format.type == "delta" and self.id.equal_rows == "repetition":
            raise ValueError("`id.equal_rows: repetition` counts within a file, which a Delta stream does not tell")
        return self

    @model_validator(mode="after")
    def _one_kind_of_value(self) -> Mapping:
        if self.value and self.values:
            raise ValueError("give either `value`, or `values` by behaviour")
        return self

    @property
    def where(self) -> str:
        """The mapping's file, or its name where it has none: begins an error's sentence."""
        return self._file or f"mapping {self.name!r}"

    def texts(self) -> dict[str, Text]:
        """The mapped text columns by their name in `events`."""
        fields = {"item_id": self.item, "user_id": self.user, "session_id": self.session}
        fields |= {"query": self.query, "request_id": self.request}
        return {name: field for name, field in fields.items() if field}

    def numbers(self) -> dict[str, tuple[Number, ...]]:
        """The mapped numbers by their name in `events`; of several, each is for behaviours of its own."""
        own = [number.model_copy(update={"only_for": (name,)}) for name, number in self.values.items()]
        fields = {"price_minor": self.price, "quantity": self.quantity, "position": self.position}
        mapped = {name: (field,) for name, field in fields.items() if field}
        values = (self.value,) if self.value else tuple(own)
        return mapped | ({"value": values} if values else {})

    def keyed(self) -> Iterator[tuple[str, str]]:
        """(key of this mapping, source column that it names), in order."""
        yield from (("id.column", self.id.column), *(("id.columns", column) for column in self.id.columns))
        yield "time.column", self.time.column
        if self.known.received:
            yield "known.received.column", self.known.received.column
        yield "behaviour.column", self.behaviour.column
        for key in ("user", "session", "item", "query", "request", "position", "price", "quantity", "value"):
            if field := getattr(self, key):
                yield f"{key}.column", field.column
        yield from ((f"values.{name}.column", number.column) for name, number in self.values.items())
        yield from ((f"context.{name}", column) for name, column in self.context.items())
        if self.expand:
            yield from (("expand.column", self.expand.column), ("expand.prices", self.expand.prices))

    def columns(self) -> tuple[str, ...]:
        """Every source column that the mapping names, once, in order."""
        return tuple(dict.fromkeys(column for _, column in self.keyed() if column))

    def essential(self) -> tuple[str, ...]:
        """The source columns without which no row is an event."""
        names = [self.id.column, *self.id.columns, self.time.column, self.behaviour.column, self.item.column]
        return tuple(dict.fromkeys(name for name in names if name))

    def persons(self) -> tuple[str, ...]:
        """The source columns that name a person."""
        return tuple(field.column for field in (self.user, self.session) if field)


def merged(settings: Settings, mapping: Mapping) -> Settings:
    """The settings with the mapping's further behaviour types behind their own, so that codes stay what they are.

    ConfigError where the mapping speaks of a behaviour that neither declares.
    """
    both = settings.model_copy(update={"behaviours": {**settings.behaviours, **mapping.behaviours}})
    check_behaviours(mapping, both)
    return both


def check_behaviours(mapping: Mapping, settings: Settings) -> None:
    """ConfigError where the mapping speaks of a behaviour that the settings do not declare."""
    wanted = [("behaviour.constant", mapping.behaviour.constant)]
    wanted += [("behaviour.values", name) for name in mapping.behaviour.values.values()]
    wanted += [("expand.behaviour", mapping.expand.behaviour)] if mapping.expand else []
    wanted += [(f"{our}.only_for", name) for our, text in mapping.texts().items() for name in text.only_for]
    for our, numbers in mapping.numbers().items():
        named = [name for number in numbers for name in (*number.only_for, *number.absolute_for)]
        wanted += [(f"{our}.only_for or absolute_for", name) for name in named]
    for key, name in wanted:
        if name and name not in settings.behaviours:
            hint = nearest(name, settings.behaviours)
            raise ConfigError(f"{mapping.where}: {key}: behaviour {name!r} is not declared.{hint}")


def load_mapping(path: str) -> Mapping:
    """Read a mapping. ConfigError names the file, the key and the nearest valid one."""
    file = Path(path)
    if not file.is_file():
        shipped = ", ".join(sorted(p.stem for p in file.parent.glob("*.yaml"))) or "none"
        raise ConfigError(f"mapping {path!r} does not exist. In its folder: {shipped}.")
    mapping = parse(Mapping, read_yaml(file.read_text(encoding="utf-8"), path), path)
    mapping._file = path
    return mapping
