"""A log of tests.features.oracle as Delta tables: committed events, and a catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from recsys.tables import EVENTS, ITEMS
from tests.features.oracle import Event

if TYPE_CHECKING:
    from recsys.io import Warehouse

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def moment(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def micros(moment: datetime) -> int:
    return (moment.replace(tzinfo=moment.tzinfo or timezone.utc) - EPOCH) // timedelta(microseconds=1)


def row_of(event: Event) -> tuple[Any, ...]:
    """The event as a row of tables.EVENTS."""
    values = {
        "event_id": event.id,
        "event_time": moment(event.time),
        "behaviour": event.behaviour,
        "item_id": event.item,
        "price_minor": event.price,
        "quantity": event.quantity,
        "value": event.value,
        "user_id": event.user,
        "query": event.query,
        "context": {"category": event.category} if event.category is not None else None,
        "event_date": moment(event.time).date(),
    }
    return tuple(values.get(name) for name in EVENTS.names)


def append_events(warehouse: Warehouse, log: Sequence[Event], batch: int) -> None:
    """Commit the events as one batch of the query that writes them."""
    from recsys.io import Accounting, Commit

    rows = warehouse.spark.createDataFrame([row_of(event) for event in log], EVENTS.ddl)
    commit = Commit(query="events", epoch=0, batch=batch)
    version = warehouse.write(EVENTS, rows.coalesce(1), commit)
    counts = Accounting(rows_in=len(log), accepted=len(log))
    warehouse.finish(commit, {EVENTS.name: version}, datetime.now(timezone.utc), counts)


def write_items(warehouse: Warehouse, prices: Mapping[str, int | None], since: int = 0, batch: int = 0) -> None:
    """Commit a catalogue that was valid from `since`, microseconds since 1970 UTC."""
    from recsys.io import Commit

    known = {"valid_from": moment(since), "in_stock": True}
    rows = [{"item_id": item, "price_minor": price, **known} for item, price in prices.items()]
    frame = warehouse.spark.createDataFrame([tuple(row.get(name) for name in ITEMS.names) for row in rows], ITEMS.ddl)
    commit = Commit(query="catalogue", epoch=0, batch=batch)
    version = warehouse.write(ITEMS, frame.coalesce(1), commit, mode="overwrite")
    warehouse.finish(commit, {ITEMS.name: version}, datetime.now(timezone.utc))
