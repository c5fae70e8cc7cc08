"""Rows as JSON lines, built by column in Arrow.

Shape letters: N rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.simulate import rows as r
from recsys.simulate.hashing import U64
from recsys.simulate.people import DEVICES
from recsys.simulate.queries import search_texts
from recsys.simulate.shop import Shop

FIELDS = (
    "id", "ts", "user", "session", "type", "item", "price", "qty",
    "rating", "query", "request", "position", "device", "sent_at",
)  # fmt: skip
_YEAR_US = 31_556_952_000_000
_WRONG_TIMES = ("yesterday", "2025-13-45T99:00:00Z", "12/31", "None")
_WRONG_TYPES = ("hover", "scroll", "TYPE_7", "heartbeat")


def json_lines(shop: Shop, rows: r.Rows) -> pa.Array:
    """[N] one JSON object a row, without its line end; fields without a value are absent. A bad_json row is cut off.

    Prices are decimal major units with two digits, times ISO-8601 UTC with milliseconds.
    """
    values = _values(shop, rows)
    parts = [_pair(name, values[name]) for name in FIELDS]
    body = pc.binary_join_element_wise(*parts, ",", null_handling="skip")
    lines = pc.binary_join_element_wise("{", body, "}", "")
    torn = pa.array(rows.defect == r.DEFECTS.index("bad_json"))
    return pc.if_else(torn, pc.utf8_slice_codeunits(lines, 0, 70), lines)


def _pair(name: str, value: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(f'"{name}":', value, "")


def _values(shop: Shop, rows: r.Rows) -> dict[str, pa.Array]:
    defect = {name: pa.array(rows.defect == code) for code, name in enumerate(r.DEFECTS)}
    luck = (rows.id % np.uint64(4)).astype(np.int64)
    shift = np.select([rows.defect == r.DEFECTS.index(n) for n in ("future_time", "ancient_time")], [20, -40], 0)
    time = pc.if_else(defect["bad_time"], _texts(_WRONG_TIMES, luck), _moments(rows.time + shift * _YEAR_US))
    kind = pc.if_else(defect["unknown_type"], _texts(_WRONG_TYPES, luck), _texts(r.KINDS, rows.kind))
    item = pc.if_else(defect["missing_item"], None, _numbered("i", 5, rows.item))
    return {
        "id": _quoted(_hexed("e", rows.id)),
        "ts": _quoted(time),
        "user": _quoted(_numbered("u", 6, rows.user)),
        "session": _quoted(_hexed("s", rows.session)),
        "type": _quoted(kind),
        "item": _quoted(item),
        "price": _decimal(rows.price),
        "qty": _whole(rows.quantity, rows.quantity != 0),
        "rating": _whole(rows.rating, rows.rating != 0),
        "query": _quoted(_texts(tuple(search_texts(shop)), rows.query)),
        "request": pc.if_else(pa.array(rows.request != 0), _quoted(_hexed("r", rows.request)), None),
        "position": _whole(rows.position, rows.position != 0),
        "device": _quoted(_texts(DEVICES, rows.device)),
        "sent_at": _quoted(_moments(rows.sent)),
    }


def _quoted(texts: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise('"', texts, '"', "")


def _texts(known: tuple[str, ...], code: npt.NDArray[np.signedinteger]) -> pa.Array:
    return pa.array(known, pa.string()).take(pa.array(code.astype(np.int64), mask=code < 0))


def _whole(number: npt.NDArray[np.signedinteger], present: npt.NDArray[np.bool_]) -> pa.Array:
    return pa.array(number.astype(np.int64), mask=~present).cast(pa.string())


def _numbered(letter: str, width: int, number: npt.NDArray[np.signedinteger]) -> pa.Array:
    digits = pc.utf8_lpad(_whole(number, number >= 0), width, "0")
    return pc.binary_join_element_wise(letter, digits, "")


def _hexed(letter: str, number: U64) -> pa.Array:
    return pa.array(np.char.add(letter, _hex(number)))


def _hex(number: U64) -> npt.NDArray[np.str_]:
    nibbles = number[:, None] >> np.arange(60, -4, -4, dtype=np.uint64) & np.uint64(15)
    codes = np.frombuffer(b"0123456789abcdef", np.uint8)[nibbles.astype(np.int64)].astype(np.uint32)
    return np.ascontiguousarray(codes).view("U16")[:, 0]


def _decimal(minor: r.I64) -> pa.Array:
    whole, cents = (pa.array(part).cast(pa.string()) for part in np.divmod(np.abs(minor), 100))
    sign = pa.array(np.where(minor < 0, "-", ""))
    joined = pc.binary_join_element_wise(sign, whole, ".", pc.utf8_lpad(cents, 2, "0"), "")
    return pc.if_else(pa.array(minor == -1), None, joined)


def _moments(time: r.I64) -> pa.Array:
    return pa.array(np.char.add(np.datetime_as_string((time // 1000).view("datetime64[ms]")), "Z"))
