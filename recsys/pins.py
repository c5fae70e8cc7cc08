"""Which version of each table readers see, told by the newest commits of `batches`: one small file, or a few. No Spark.

Each commit carries pins: its own batch's, and all that its writer found at `base`, the version it read before. Commits
that landed between the two are merged in by whoever reads. So the cost depends on how many write at the same moment,
not on how many ever wrote.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

QUIET = {"CREATE TABLE", "ADD COLUMNS", "SET TBLPROPERTIES", "OPTIMIZE", "VACUUM START", "VACUUM END"}  # add no row
FURTHEST = 100  # commits that are looked at before the table's rows are asked instead


@dataclass(frozen=True, order=True)
class Pin:
    """What readers see of a table: this Delta version, and of it the rows of this epoch. A newer epoch goes first.

    Only tables with whole epochs have more than epoch 0 here.
    """

    epoch: int
    version: int


Pins = Mapping[str, Pin]


def merged(*known: Pins) -> dict[str, Pin]:
    """The newest pin of each table."""
    newest: dict[str, Pin] = {}
    for name, pin in (entry for pins in known for entry in pins.items()):
        newest[name] = max(pin, newest.get(name, pin))
    return newest


def told(pins: Pins, base: int) -> dict[str, object]:
    """What a commit of `batches` carries: all pins up to its `base` (-1: none before it) and its own."""
    return {"base": base, "pins": {name: [pin.epoch, pin.version] for name, pin in sorted(pins.items())}}


def pins_at(version: int, commit_info: Callable[[int], Mapping[str, object] | None]) -> dict[str, Pin] | None:
    """The pins of all commits of `batches` up to `version`, from as few of these as possible, newest first.

    `commit_info` gives a commit's `commitInfo` as Delta wrote it; None: it is gone. None is returned where commits do
    not tell: one that this release did not write may have added rows.
    """
    found: dict[str, Pin] = {}
    base: int | None = None
    for at in range(version, -1, -1):
        if base is not None and at <= base:
            break
        info = commit_info(at) if version - at < FURTHEST else None
        carried = None if info is None else _carried(info)
        if carried is not None:
            base = carried[0] if base is None else base
            found = merged(found, carried[1])
        elif info is None or info.get("operation") not in QUIET:
            return None
    return found


def _carried(info: Mapping[str, object]) -> tuple[int, dict[str, Pin]] | None:
    text = info.get("userMetadata")
    carried = json.loads(text) if isinstance(text, str) and text.startswith("{") else {}
    if "pins" not in carried:
        return None
    return int(carried["base"]), {name: Pin(*pin) for name, pin in carried["pins"].items()}
