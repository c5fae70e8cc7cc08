"""What `batches` says, told by its newest commits: one small file, or a few, and none of its rows. No Spark.

Each commit carries what its own batch adds, and all that its writer found at `base`, the version it read before.
Commits that landed between the two are merged in by whoever reads. So the cost depends on how many write at the same
moment, not on how many ever wrote.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

QUIET = {"CREATE TABLE", "ADD COLUMNS", "SET TBLPROPERTIES", "OPTIMIZE", "VACUUM START", "VACUUM END"}  # add no row
FURTHEST = 100  # commits that are looked at before the table's rows are asked instead
Ordered = TypeVar("Ordered", "Pin", "Newest")


class Pin(NamedTuple):
    """What readers see of a table: this Delta version, and of it the rows of this epoch. A newer epoch goes first.

    Only tables with whole epochs have more than epoch 0 here.
    """

    epoch: int
    version: int


class Newest(NamedTuple):
    """The newest batch of a query or job. A newer epoch goes first."""

    epoch: int
    batch: int


@dataclass(frozen=True)
class Known:
    """What rows of `batches` say: of each table what readers see, and of each query its newest batch."""

    pins: Mapping[str, Pin] = field(default_factory=dict)
    batches: Mapping[str, Newest] = field(default_factory=dict)

    def __or__(self, other: Known) -> Known:
        """What the rows of both say."""
        return Known(merged(self.pins, other.pins), merged(self.batches, other.batches))


def merged(one: Mapping[str, Ordered], other: Mapping[str, Ordered]) -> dict[str, Ordered]:
    """The newest of each name."""
    return {name: max(found[name] for found in (one, other) if name in found) for name in {**one, **other}}


def told(known: Known, base: int) -> dict[str, object]:
    """What a commit of `batches` carries: all that is known up to its `base` (-1: none before it), and its own."""
    return {"base": base, "pins": dict(sorted(known.pins.items())), "batches": dict(sorted(known.batches.items()))}


def known_at(version: int, commit_info: Callable[[int], Mapping[str, object] | None]) -> Known | None:
    """What all commits of `batches` up to `version` say, from as few of these as possible, newest first.

    `commit_info` gives a commit's `commitInfo` as Delta wrote it; None: it is gone. None is returned where commits do
    not tell: one that this release did not write may have added rows.
    """
    found = Known()
    base: int | None = None
    for at in range(version, -1, -1):
        if base is not None and at <= base:
            break
        info = commit_info(at) if version - at < FURTHEST else None
        carried = None if info is None else _carried(info)
        if carried is not None:
            base = carried[0] if base is None else base
            found |= carried[1]
        elif info is None or info.get("operation") not in QUIET:
            return None
    return found


def _carried(info: Mapping[str, object]) -> tuple[int, Known] | None:
    text = info.get("userMetadata")
    carried = json.loads(text) if isinstance(text, str) and text.startswith("{") else {}
    if not {"pins", "batches"} <= carried.keys():
        return None
    pins = {name: Pin(*pin) for name, pin in carried["pins"].items()}
    return int(carried["base"]), Known(pins, {name: Newest(*at) for name, at in carried["batches"].items()})
