"""A table of raw events in columns, before they become lines of a file.

Shape letters: N rows.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.simulate.hashing import U64

I8 = npt.NDArray[np.int8]
I16 = npt.NDArray[np.int16]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

KINDS = ("impression", "view", "search", "click", "cart", "purchase", "rating")
IMPRESSION, VIEW, SEARCH, CLICK, CART, PURCHASE, RATING = range(len(KINDS))
DEFECTS = (
    "bad_json",
    "missing_item",
    "bad_time",
    "future_time",
    "ancient_time",
    "negative_price",
    "unknown_type",
    "bad_rating",
    "bad_quantity",
)
CLEAN, DUPLICATE = -1, -2


@dataclass(frozen=True, kw_only=True)
class Rows:
    """N raw events. Times are microseconds since 1970 UTC."""

    id: U64  # [N]
    time: I64  # [N] when the user did it
    user: I32  # [N] -1: anonymous; from settings.users on: a bot
    session: U64  # [N]
    kind: I8  # [N] index into KINDS
    item: I32  # [N] -1: none
    price: I64  # [N] minor units; -1: none
    quantity: I16  # [N] 0: none
    rating: I8  # [N] 0: none
    query: I32  # [N] index into the shop's queries; -1: none
    request: U64  # [N] 0: none
    position: I16  # [N] from 1; 0: none
    device: I8  # [N] index into DEVICES
    sent: I64  # [N] what the field `sent_at` says
    arrive: I64  # [N] when the line reaches the files; differs from `sent` for a resend only
    defect: I8  # [N] CLEAN, DUPLICATE or an index into DEFECTS

    def __len__(self) -> int:
        return len(self.id)

    def take(self, index: I64 | npt.NDArray[np.bool_]) -> Rows:
        """The rows that an index or mask names, in its order."""
        return Rows(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


_DEFAULTS: dict[str, int] = {
    "item": -1, "price": -1, "quantity": 0, "rating": 0, "query": -1, "request": 0, "position": 0, "defect": CLEAN
}  # fmt: skip


def make_rows(size: int, **columns: npt.ArrayLike) -> Rows:
    """Rows from the columns given, broadcast to N = `size` and cast; `id`, `sent` and `arrive` may follow later."""
    types = {"I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64, "U64": np.uint64}
    made: dict[str, Any] = {}
    for field in fields(Rows):
        value = columns.get(field.name, _DEFAULTS.get(field.name, 0))
        made[field.name] = np.broadcast_to(np.asarray(value).astype(types[str(field.type)]), size)
    return Rows(**made)


def join(parts: list[Rows]) -> Rows:
    """All rows of the parts, one part after the other."""
    return Rows(**{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Rows)})
