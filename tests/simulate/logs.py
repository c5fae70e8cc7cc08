"""The simulator's files read in plain Python, and what is wrong with a line, told from the line alone."""

from __future__ import annotations

import gzip
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

KINDS = {"impression", "view", "search", "click", "cart", "purchase", "rating"}
Event = dict[str, Any]


def read_lines(folder: Path) -> list[tuple[str, str]]:
    """(name of the file, line) of all events, in the order of the files."""
    files = sorted((folder / "events").iterdir())
    return [(file.name, line) for file in files for line in gzip.decompress(file.read_bytes()).decode().splitlines()]


def moment(text: str) -> datetime:
    """ISO-8601 UTC with milliseconds, and nothing else."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)


def defect_of(line: str) -> str | None:
    """The line's defect, None where it is sound."""
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return "bad_json"
    try:
        years = (moment(event["ts"]) - moment(event["sent_at"])).days / 365.25
    except ValueError:
        return "bad_time"
    kind = event["type"]
    faults = {
        "future_time": years > 1,
        "ancient_time": years < -1,
        "unknown_type": kind not in KINDS,
        "missing_item": kind != "search" and "item" not in event,
        "negative_price": event.get("price", 0) < 0,
        "bad_rating": kind == "rating" and not 1 <= event["rating"] <= 5,
        "bad_quantity": kind in ("cart", "purchase") and event["qty"] < 1,
    }
    found = [name for name, wrong in faults.items() if wrong]
    assert len(found) <= 1, (found, line)
    return found[0] if found else None
