"""Features that tell a user's behaviours apart by a key (item, category, word, ...). NumPy and Arrow only.

Shape letters: E behaviours of all users, P points, S occurrences of a key, G groups of a point's equal keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.days import microseconds
from recsys.features.feature import Feature
from recsys.features.history import I32, I64, Histories, Points
from recsys.features.windows import (
    Bool,
    Selection,
    by_code,
    distinct,
    first_after,
    known,
    previous,
    spread,
)
from recsys.settings.user import BEHAVIOUR, ITEM, QUERY, TERM

Texts = Mapping[str, pa.Array]  # text of the events, such as `query` -> [E] strings; NULL: none
KEY_COUNT = pa.struct([pa.field("key", pa.string()), pa.field("count", pa.int64())])


@dataclass(frozen=True, kw_only=True, eq=False)
class Keyed:
    """The occurrences of keys, in the order of behaviours; one behaviour may have several (the words of a query)."""

    rows: Selection  # [S] the behaviour of each, ascending
    code: I32  # [S] index into `names`
    names: pa.Array  # strings

    def where(self, kept: Bool) -> Keyed:
        """Only the occurrences [S] that are `kept`."""
        return replace(self, rows=Selection(self.rows.positions[kept]), code=self.code[kept])


def keyed(h: Histories, key: str, behaviours: tuple[str, ...], texts: Texts) -> Keyed:
    """The occurrences of a key: `item`, `behaviour`, `term` (a word of the query), or a text of the events."""
    if key == TERM:
        words = pc.split_pattern(texts[QUERY], " ")
        row, encoded = pc.list_parent_indices(words).to_numpy(), words.flatten().dictionary_encode()
        found = Keyed(rows=Selection(row.astype(np.int64)), code=_codes(encoded), names=encoded.dictionary)
        empty = pc.index(encoded.dictionary, "").as_py()
        return found.where(found.code != empty)
    if key == ITEM:
        code, names = h.item, pa.array(h.items, pa.string())
    elif key == BEHAVIOUR:
        code, names = h.behaviour.astype(np.int32), pa.array(behaviours, pa.string())
    else:
        encoded = texts[key].dictionary_encode()
        code, names = _codes(encoded), encoded.dictionary
    every = Keyed(rows=Selection(np.arange(len(h.time), dtype=np.int64)), code=code, names=names)
    return every.where(code >= 0)


def keyed_features(
    h: Histories, p: Points, behaviours: tuple[str, ...], features: tuple[Feature, ...], texts: Texts
) -> dict[str, pa.Array]:
    """Lists, maps and distinct counts at the points: name -> [P], of the feature's type, never NULL.

    Windows and what a point sees are as in `user.user_features`. `texts` has what the features' keys come from, [E].
    """
    seen = known(h, p)
    windows = {f.window for f in features if f.window}
    low = {"": seen.start} | {w: first_after(h.time, seen.start, seen.end, seen.at - microseconds(w)) for w in windows}
    keys = {key: keyed(h, key, behaviours, texts) for key in {f.key for f in features}}
    result = {}
    for f in features:
        found = of_behaviour(keys[f.key], h, behaviours, f.of)
        result[f.name] = OPERATIONS[f.operation](h, found, f, low[f.window], seen.end)
    return result


def of_behaviour(found: Keyed, h: Histories, behaviours: tuple[str, ...], of: str) -> Keyed:
    """The occurrences at behaviours of one type; of all types where `of` is empty."""
    if not of:
        return found
    code = behaviours.index(of) if of in behaviours else len(behaviours)
    return found.where(h.behaviour[found.rows.positions] == code)


def distinct_keys(h: Histories, found: Keyed, low: I64, high: I64) -> I64:
    """[P] number of different keys among the behaviours [low, high) of each point."""
    earlier = previous(by_code(found.code, found.rows.rank(h.offsets)))
    return distinct(earlier, found.rows.rank(low), found.rows.rank(high))


@dataclass(frozen=True, kw_only=True, eq=False)
class Groups:
    """Each point's keys, the most frequent first, of equals the one whose newest occurrence is the newest."""

    offsets: I64  # [P + 1]
    code: I32  # [G]
    count: I64  # [G]
    total: npt.NDArray[Any]  # [G] sum of the values; empty where none were given

    def first(self, k: int) -> Groups:
        """The first k keys of each point."""
        sizes = np.diff(self.offsets)
        kept = np.arange(len(self.code)) - np.repeat(self.offsets[:-1], sizes) < k
        return Groups(
            offsets=_offsets(np.minimum(sizes, k)), code=self.code[kept], count=self.count[kept], total=self.total
        )


def groups(found: Keyed, low: I64, high: I64, values: npt.NDArray[Any] | None = None) -> Groups:
    """The keys among the behaviours [low, high) of each point [P], and the sums of their `values` [S]."""
    low, high = found.rows.rank(low), found.rows.rank(high)
    sizes, parts = np.zeros(len(low), dtype=np.int64), []
    many, length = len(found.names) + 1, len(found.code) + 1
    for part, place, _ in spread(low, high):
        owner = np.repeat(np.arange(len(part), dtype=np.int64), high[part] - low[part])
        key = owner * many + found.code[place]
        order = np.argsort(key, kind="stable")
        first = np.flatnonzero(np.append(True, np.diff(key[order]) != 0)[: len(key)])
        count = np.diff(np.append(first, len(key)))
        newest = place[order][first + count - 1]
        of_group = key[order][first] // many
        ranked = np.lexsort((length - newest, -count, of_group))
        total = np.add.reduceat(values[place[order]], first) if values is not None and len(first) else np.zeros(0)
        parts.append((found.code[newest][ranked], count[ranked], total[ranked] if len(total) else total))
        sizes[part] = np.bincount(of_group, minlength=len(part))
    code, count, total = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Groups(offsets=_offsets(sizes), code=code, count=count, total=total)


def _last(h: Histories, found: Keyed, f: Feature, low: I64, high: I64) -> pa.Array:
    low, high = found.rows.rank(low), found.rows.rank(high)
    sizes = np.minimum(high - low, f.k)
    offsets = _offsets(sizes)
    place = np.repeat(high - 1 + offsets[:-1], sizes) - np.arange(offsets[-1])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), found.names.take(pa.array(found.code[place])))


def _top(h: Histories, found: Keyed, f: Feature, low: I64, high: I64) -> pa.Array:
    top = groups(found, low, high).first(f.k)
    columns = [found.names.take(pa.array(top.code)), pa.array(top.count)]
    rows = pa.StructArray.from_arrays(columns, fields=list(KEY_COUNT))
    return pa.ListArray.from_arrays(pa.array(top.offsets, pa.int32()), rows)


def _counts(h: Histories, found: Keyed, f: Feature, low: I64, high: I64) -> pa.Array:
    every = groups(found, low, high)
    names = found.names.take(pa.array(every.code))
    return pa.MapArray.from_arrays(pa.array(every.offsets, pa.int32()), names, pa.array(every.count))


def _means(h: Histories, found: Keyed, f: Feature, low: I64, high: I64) -> pa.Array:
    values = {"price": h.price, "quantity": h.quantity, "spend": h.price * h.quantity, "value": h.value}[f.value]
    given = {"price": h.price >= 0, "spend": h.price >= 0, "value": ~np.isnan(h.value)}
    having = found.where(given[f.value][found.rows.positions]) if f.value in given else found
    every = groups(having, low, high, values[having.rows.positions])
    names = found.names.take(pa.array(every.code))
    means = np.asarray(every.total / every.count, dtype=np.float64)
    return pa.MapArray.from_arrays(pa.array(every.offsets, pa.int32()), names, pa.array(means))


def _codes(encoded: pa.DictionaryArray) -> I32:
    codes: I32 = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    return codes


def _offsets(sizes: I64) -> I64:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


OPERATIONS: dict[str, Callable[[Histories, Keyed, Feature, I64, I64], pa.Array]] = {
    "distinct": lambda h, found, f, low, high: pa.array(distinct_keys(h, found, low, high)),
    "last_k": _last,
    "top_k": _top,
    "counts": _counts,
    "means": _means,
}
