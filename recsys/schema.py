"""What a table and a column are. No Spark in here; `recsys.tables` lists them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["append", "newest wins", "summed", "replaced by partition", "slowly changing"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column: Spark SQL type, meaning (also its comment in Delta), and whether it names a person."""

    name: str
    type: str
    meaning: str
    person: bool = False


def column(name: str, type: str, meaning: str, person: bool = False) -> Column:
    """A column, in one line."""
    return Column(name=name, type=type, meaning=meaning, person=person)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A Delta table: what one row is, and how rows come and go."""

    name: str
    row: str
    key: tuple[str, ...]
    kind: Kind
    columns: tuple[Column, ...]
    partition_by: tuple[str, ...] = ()
    skip_by: tuple[str, ...] = ()  # columns by whose range readers skip files; none: the first ones, as Delta does it
    whole_epochs: bool = False  # each epoch has a row for each key, and readers see one epoch alone

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)

    @property
    def ddl(self) -> str:
        """Spark DDL of the schema, without comments."""
        return ", ".join(f"`{column.name}` {column.type}" for column in self.columns)

    def extended(self, columns: Sequence[Column]) -> Table:
        """The same table with more columns at its end."""
        return replace(self, columns=self.columns + tuple(columns))
