"""Item features from time tiles, and the item snapshot that ranker, Top-N and server hold. NumPy and Arrow only.

Shape letters: I items, T tiles of single items, C tiles of all items together, P points (item, hour), Fi item features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.days import SECOND, microseconds
from recsys.errors import BundleError
from recsys.features.definitions import CTR_PRIOR, ITEM_FEATURES, ITEM_HASH, names
from recsys.features.feature import SHARE_PRIOR
from recsys.features.history import F32, F64, I8, I64, Points
from recsys.features.user import ratio, trend
from recsys.features.windows import Bool, Selection, first_after, select

ACTIVE = microseconds("7d")  # an item without an event in this window before the hour has no behaviour features


@dataclass(frozen=True, kw_only=True, eq=False)
class Tiles:
    """Counts of I items by tile and behaviour, flattened; each item's rows ascend by tile."""

    offsets: I64  # [I + 1]
    tile: I64  # [T] first moment of the tile, microseconds since 1970 UTC
    behaviour: I8  # [T] index into the behaviour names
    events: I64  # [T]
    revenue: I64  # [T] minor units


@dataclass(frozen=True, kw_only=True, eq=False)
class Crowd:
    """Engaged behaviours of all items by tile."""

    tile: I64  # [C] ascending, first moments of tiles, microseconds since 1970 UTC
    events: I64  # [C]

    def total(self, low: I64, high: I64) -> I64:
        """[P] behaviours in [low, high), both on borders of tiles."""
        running = np.append(0, np.cumsum(self.events))
        return np.asarray(running[np.searchsorted(self.tile, high)] - running[np.searchsorted(self.tile, low)])


def share(own: I64, total: I64) -> F64:
    """[P] logarithm of an item's smoothed share: busy and quiet hours become comparable."""
    return np.log((own + SHARE_PRIOR[0]) / (total + SHARE_PRIOR[1]))


def item_features(
    t: Tiles,
    p: Points,
    behaviours: Sequence[str],
    engaged: Sequence[str],
    prices: Mapping[str, F64],
    first: I64,
    everyone: Crowd,
) -> dict[str, npt.NDArray[Any]]:
    """All ITEM_FEATURES at the points: name -> [P].

    `p` holds ranges of rows of `t` and hours (`at`); windows are [hour - w, hour). Exact where the hour lies on a
    border of tiles, so tiles may be as wide as an hour. `prices` are the features that come from the catalogue
    (name -> [P], NaN: unknown); `first` [P] the start of the tile with the item's first event ever, at or after the
    hour: unknown. `everyone` counts the engaged behaviours of all items.
    """
    high = first_after(t.tile, p.start, p.end, p.at - 1)
    rows = {name: select(t.behaviour == code) for code, name in enumerate(behaviours)}
    kinds = np.asarray([code for code, name in enumerate(behaviours) if name in engaged], dtype=np.int8)
    rows |= {"engaged": select(np.isin(t.behaviour, kinds)), "event": select(np.ones(len(t.tile), dtype=np.bool_))}
    nothing = Selection(np.zeros(0, dtype=np.int64))

    def count(of: str, window: str, values: I64 = t.events) -> I64:
        low = first_after(t.tile, p.start, high, p.at - microseconds(window) - 1)
        selected = rows.get(of, nothing)
        return selected.total(values[selected.positions], low, high)

    active = count("event", "7d")
    clicks, shown = count("click", "7d"), count("impression", "7d")
    result: dict[str, npt.NDArray[Any]] = {
        "item_revenue_7d": count("purchase", "7d", t.revenue),
        "item_ctr_7d": ratio(clicks + CTR_PRIOR[0], np.maximum(shown, clicks) + CTR_PRIOR[1]),
        **prices,
        "item_age_s": np.where(first < p.at, (p.at - first) / SECOND, np.nan),
    }
    for f in ITEM_FEATURES:
        if f.operation == "count":
            result[f.name] = count(f.of, f.window)
        elif f.operation == "share":
            shares = share(count(f.of, f.window), everyone.total(p.at - microseconds(f.window), p.at))
            result[f.name] = np.where(active > 0, shares, np.nan)
        elif f.operation == "trend":
            result[f.name] = trend(count(f.of, f.window), count(f.of, f.reference), f.window, f.reference)
    return {name: result[name] for name in names(ITEM_FEATURES)}


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemSnapshot:
    """The catalogue at one moment, as one block of arrays: row i is item `items[i]`."""

    items: tuple[str, ...]  # [I] ascending, unique
    features: F32  # [I, Fi] in the order of ITEM_FEATURES; NaN: unknown
    price: I64  # [I] minor units; -1: unknown
    category: tuple[str | None, ...]  # [I]
    title: tuple[str | None, ...]  # [I]
    in_stock: Bool  # [I]
    at: int  # microseconds since 1970 UTC that the features are true at

    def column(self, name: str) -> F32:
        """[I] one feature by its name. KeyError: no such item feature."""
        return self.features[:, {n: i for i, n in enumerate(names(ITEM_FEATURES))}[name]]

    def save(self, path: Path) -> None:
        """Write one parquet file, with `at` and the hash of the feature definitions in its metadata."""
        table = pa.table(
            {
                "item_id": pa.array(self.items, pa.string()),
                "price_minor": pa.array(self.price, pa.int64()),
                "category": pa.array(self.category, pa.string()),
                "title": pa.array(self.title, pa.string()),
                "in_stock": pa.array(self.in_stock, pa.bool_()),
                **{n: pa.array(self.features[:, i], pa.float32()) for i, n in enumerate(names(ITEM_FEATURES))},
            },
            metadata={"at": str(self.at), "feature_hash": ITEM_HASH},
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)

    @staticmethod
    def load(path: Path) -> ItemSnapshot:
        """Read what `save` wrote. BundleError: no such file, not a snapshot, or made with other feature definitions."""
        if not path.is_file():
            raise BundleError(f"Item snapshot {str(path)!r} does not exist; write one with ItemSnapshot.save.")
        try:
            table = pq.read_table(path)
        except pa.ArrowInvalid as error:
            raise BundleError(f"Item snapshot {str(path)!r} is not a Parquet file ({error}); write it anew.") from None
        metadata = table.schema.metadata or {}
        found = metadata.get(b"feature_hash", b"none").decode()
        if found != ITEM_HASH:
            raise BundleError(
                f"Item snapshot {str(path)!r} has feature hash {found}, this recsys computes {ITEM_HASH}; "
                "make a new snapshot with it."
            )
        return from_table(table, int(metadata[b"at"]))


def from_table(table: pa.Table, at: int) -> ItemSnapshot:
    """A snapshot from the columns that `save` writes, rows in any order; `at` in microseconds since 1970 UTC."""
    table = table.sort_by("item_id")
    # Not safe: float32 holds whole numbers exactly up to 2 ** 24 only, and a week's revenue may be more.
    columns = [table[name].cast(pa.float32(), safe=False).to_numpy() for name in names(ITEM_FEATURES)]
    return ItemSnapshot(
        items=tuple(table["item_id"].to_pylist()),
        features=np.stack(columns, axis=1).astype(np.float32),
        price=table["price_minor"].fill_null(-1).to_numpy().astype(np.int64),
        category=tuple(table["category"].to_pylist()),
        title=tuple(table["title"].to_pylist()),
        in_stock=table["in_stock"].to_numpy().astype(np.bool_),
        at=at,
    )
