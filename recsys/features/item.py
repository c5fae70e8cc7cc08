"""The item snapshot that ranker, Top-N and server hold. NumPy and Arrow only.

Shape letters: I items, Fi item features.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.config import FeatureSettings
from recsys.errors import BundleError
from recsys.features.definitions import ITEM_FEATURES, feature_hash, item_features_of, names
from recsys.features.feature import Feature
from recsys.features.history import F32, I64
from recsys.features.windows import Bool


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemSnapshot:
    """The catalogue at one moment, as one block of arrays: row i is item `items[i]`."""

    items: tuple[str, ...]  # [I] ascending, unique
    features: F32  # [I, Fi] in the order of `declared`; NaN: unknown
    price: I64  # [I] minor units; -1: unknown
    category: tuple[str | None, ...]  # [I]
    title: tuple[str | None, ...]  # [I]
    in_stock: Bool  # [I]
    at: int  # microseconds since 1970 UTC that the features are true at
    declared: tuple[Feature, ...] = ITEM_FEATURES  # [Fi]

    def column(self, name: str) -> F32:
        """[I] one feature by its name. KeyError: no such item feature."""
        return self.features[:, {n: i for i, n in enumerate(names(self.declared))}[name]]

    def save(self, path: Path) -> None:
        """Write one parquet file, with `at` and the hash of the feature definitions in its metadata."""
        table = pa.table(
            {
                "item_id": pa.array(self.items, pa.string()),
                "price_minor": pa.array(self.price, pa.int64()),
                "category": pa.array(self.category, pa.string()),
                "title": pa.array(self.title, pa.string()),
                "in_stock": pa.array(self.in_stock, pa.bool_()),
                **{n: pa.array(self.features[:, i], pa.float32()) for i, n in enumerate(names(self.declared))},
            },
            metadata={"at": str(self.at), "feature_hash": feature_hash(self.declared)},
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)

    @staticmethod
    def load(path: Path, features: FeatureSettings) -> ItemSnapshot:
        """Read what `save` wrote. BundleError: no such file, not a snapshot, or made with other feature definitions."""
        declared = item_features_of(features)
        if not path.is_file():
            raise BundleError(f"Item snapshot {str(path)!r} does not exist; write one with ItemSnapshot.save.")
        try:
            table = pq.read_table(path)
        except pa.ArrowInvalid as error:
            raise BundleError(f"Item snapshot {str(path)!r} is not a Parquet file ({error}); write it anew.") from None
        metadata = table.schema.metadata or {}
        found = metadata.get(b"feature_hash", b"none").decode()
        if found != feature_hash(declared):
            raise BundleError(
                f"Item snapshot {str(path)!r} has feature hash {found}, this recsys computes {feature_hash(declared)} "
                "with these settings (features.item); make a new snapshot with them."
            )
        return from_table(table, int(metadata[b"at"]), declared)


def from_table(table: pa.Table, at: int, declared: tuple[Feature, ...] = ITEM_FEATURES) -> ItemSnapshot:
    """A snapshot from the columns that `save` writes, rows in any order; `at` in microseconds since 1970 UTC."""
    table = table.sort_by("item_id")
    # Not safe: float32 holds whole numbers exactly up to 2 ** 24 only, and a week's revenue may be more.
    columns = [table[name].cast(pa.float32(), safe=False).to_numpy() for name in names(declared)]
    return ItemSnapshot(
        items=tuple(table["item_id"].to_pylist()),
        features=np.stack(columns, axis=1).astype(np.float32),
        price=table["price_minor"].fill_null(-1).to_numpy().astype(np.int64),
        category=tuple(table["category"].to_pylist()),
        title=tuple(table["title"].to_pylist()),
        in_stock=table["in_stock"].to_numpy().astype(np.bool_),
        at=at,
        declared=declared,
    )
