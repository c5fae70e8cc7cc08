"""What consumers send, checked and turned into histories. Every fault is one sentence that names row and field.

Shape letters: U rows of a request.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictStr, TypeAdapter, ValidationError

from recsys.days import micros, moment_of
from recsys.errors import RequestError, nearest
from recsys.features.history import I64, MISSING, Histories

MAX_RECENT = 4096  # more behaviours than any profile keeps
MAX_N = 1000
LARGEST = 1 << 40  # prices and quantities whose sums still fit into 64 bits
OLDEST = micros(datetime(1990, 1, 1, tzinfo=timezone.utc))  # an earlier time is one in seconds or milliseconds
NEWEST = micros(datetime(2200, 1, 1, tzinfo=timezone.utc))


def microseconds(value: object) -> int:
    """A time as microseconds since 1970 UTC: from such a number, a datetime or ISO 8601 text; without a zone it is UTC.

    ValueError: anything else, or a time before 1990 or after 2199.
    """
    moment = value
    # pandas makes floats of a column with gaps; True is no time.
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    whole = whole or (isinstance(value, float) and value.is_integer())
    if isinstance(value, str):
        moment = datetime.fromisoformat(value.replace("Z", "+00:00").replace("z", "+00:00"))
    if isinstance(moment, datetime):
        aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        time = micros(aware)
    elif whole:
        time = int(moment)  # type: ignore[call-overload]
    else:
        raise ValueError("give ISO 8601 text or microseconds since 1970 UTC")
    if time < OLDEST:
        raise ValueError("it lies before 1990; numbers are microseconds since 1970 UTC")
    if time >= NEWEST:
        raise ValueError("it lies after 2199; numbers are microseconds since 1970 UTC")
    return time


Micros = Annotated[int, BeforeValidator(microseconds)]


class Behaved(BaseModel):
    """One behaviour of a user."""

    model_config = ConfigDict(extra="forbid")

    behaviour: StrictStr
    event_time: Micros
    item_id: StrictStr | None = None
    price_minor: int | None = Field(None, ge=0, le=LARGEST)
    quantity: int | None = Field(None, ge=1, le=LARGEST)
    value: float | None = None


class Row(BaseModel):
    """One user's request. Without `at` the answer is for now, or for the newest behaviour if that is later."""

    model_config = ConfigDict(extra="forbid")

    recent: Annotated[list[Behaved], Field(max_length=MAX_RECENT)] | None = None
    n: int | None = Field(None, ge=1, le=MAX_N)
    at: Micros | None = None


ROWS = TypeAdapter(list[Row])


@dataclass(frozen=True, kw_only=True, eq=False)
class Requests:
    """U checked requests."""

    histories: Histories
    at: I64  # [U] microseconds since 1970 UTC
    n: I64  # [U]


def read_requests(
    rows: Sequence[Mapping[str, Any]], names: tuple[str, ...], engaged: AbstractSet[str], k: int, n: int, now: int
) -> Requests:
    """Check the rows and build histories: the newest `k` engaged behaviours of each, by time, equal times as given.

    `names` are the behaviour names in the order of their codes, `engaged` those that histories keep, `n` the default
    number of items, `now` the present in microseconds since 1970 UTC.

    Raises RequestError: a field that is missing, unknown, of the wrong type or out of range, and as `checked`.
    """
    try:
        parsed = ROWS.validate_python([{key: _plain(value) for key, value in row.items()} for row in rows])
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"][1:])
        said = fault["msg"].removeprefix("Value error, ")
        raise RequestError(f"Row {fault['loc'][0]}, {where or 'row'}: {said}.") from None
    return checked(parsed, names, engaged, k, n, now)


def checked(
    parsed: Sequence[Row], names: tuple[str, ...], engaged: AbstractSet[str], k: int, n: int, now: int
) -> Requests:
    """`read_requests` of rows that are well-formed. RequestError: an unknown behaviour, or one later than `at`."""
    kept: list[list[Behaved]] = []
    moments = np.zeros(len(parsed), dtype=np.int64)
    for place, row in enumerate(parsed):
        recent = row.recent or []
        for one in recent:
            if one.behaviour not in names:
                raise RequestError(
                    f"Row {place}: behaviour {one.behaviour!r} is unknown.{nearest(one.behaviour, names)}"
                )
        newest = max((one.event_time for one in recent), default=now)
        if row.at is not None and recent and newest > row.at:
            raise RequestError(
                f"Row {place}: a behaviour at {_iso(newest)} lies after `at`, {_iso(row.at)}. Leave it out."
            )
        moments[place] = max(now, newest) if row.at is None else row.at
        used = sorted((one for one in recent if one.behaviour in engaged), key=lambda one: one.event_time)
        kept.append(used[-k:])
    counts = np.asarray([row.n or n for row in parsed], dtype=np.int64)
    return Requests(histories=_histories(kept, names), at=moments, n=counts)


def _plain(value: object) -> object:
    """Undo what pandas and NumPy make of JSON: arrays become lists, NaN becomes None."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and math.isnan(value) else value


def _histories(kept: Sequence[Sequence[Behaved]], names: tuple[str, ...]) -> Histories:
    """As `history.from_columns`, without a turn through Arrow, which for one user costs more than it saves."""
    flat = [one for user in kept for one in user]
    ids = dict.fromkeys(one.item_id for one in flat if one.item_id is not None)
    row, code = {item: place for place, item in enumerate(ids)}, {name: place for place, name in enumerate(names)}
    return Histories(
        offsets=np.cumsum([0, *(len(user) for user in kept)], dtype=np.int64),
        time=np.asarray([one.event_time for one in flat], dtype=np.int64),
        behaviour=np.asarray([code[one.behaviour] for one in flat], dtype=np.int8),
        item=np.asarray([MISSING if one.item_id is None else row[one.item_id] for one in flat], dtype=np.int32),
        price=np.asarray([MISSING if one.price_minor is None else one.price_minor for one in flat], dtype=np.int64),
        quantity=np.asarray([one.quantity or 1 for one in flat], dtype=np.int64),
        value=np.asarray([np.nan if one.value is None else one.value for one in flat], dtype=np.float64),
        items=tuple(ids),
    )


def _iso(time: int) -> str:
    return moment_of(time).isoformat()
