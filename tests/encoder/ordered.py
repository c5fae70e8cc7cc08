"""Orders of small trainings as files, for tests of trainings by several processes."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.config import EncoderSettings
from recsys.encoder.order import Order
from recsys.features.history import Histories
from tests.encoder.samples import BEHAVIOURS
from tests.features.test_history import TYPE

SEQUENCES = pa.schema({"user_id": pa.string(), "recent": TYPE})


def written(h: Histories, folder: Path) -> str:
    """The histories as dataset.sequences writes them, in two files."""
    folder.mkdir(parents=True)
    rows = [
        {"user_id": f"u{user:05}", "recent": [step(h, at) for at in range(h.offsets[user], h.offsets[user + 1])]}
        for user in range(h.users)
    ]
    for number, part in enumerate((rows[1::2], rows[::2])):
        pq.write_table(pa.Table.from_pylist(part, SEQUENCES), folder / f"{number}.parquet")
    return str(folder)


def step(h: Histories, at: int) -> dict[str, object]:
    """One behaviour as a row."""
    return {
        "event_id": f"{at:06}",
        "event_time": int(h.time[at]),
        "behaviour": BEHAVIOURS[h.behaviour[at]],
        "item_id": h.items[h.item[at]] if h.item[at] >= 0 else None,
        "quantity": 1,
        "value": float(h.value[at]),
    }


def order_of(folder: Path, name: str, sequences: str, encoder: EncoderSettings, seed: int = 1) -> Order:
    """A training on `sequences`, whose files lie under `folder`, named after it."""
    return Order(
        sequences=sequences,
        content=None,
        behaviours=BEHAVIOURS,
        encoder=encoder,
        seed=seed,
        threads=1,
        checkpoint=folder / f"{name}.safetensors",
        folder=folder / name,
    )
