"""Profiles for the online store, and behaviours as `user_profiles` holds them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from recsys.serving.store import Profile, flat, pack
from recsys.tables import RECENT_FIELDS

KINDS = {
    "event_time": pa.timestamp("us", tz="UTC"),
    "price_minor": pa.int64(),
    "quantity": pa.int64(),
    "value": pa.float64(),
}
RECENT = pa.struct([(name, KINDS.get(name, pa.string())) for name in RECENT_FIELDS])


def recent(*behaviours: dict[str, Any]) -> pa.StructArray:
    rows = [
        {name: row.get(name) for name in RECENT_FIELDS} | {"quantity": row.get("quantity", 1)} for row in behaviours
    ]
    return pa.array(rows, RECENT)


def profile(user: str, epoch: int, batch: int, *behaviours: dict[str, Any], as_of: int = 0) -> Profile:
    packed = pack(flat(recent(*behaviours)))
    return Profile(user_id=user, epoch=epoch, batch=batch, as_of=as_of, recent=packed)
