"""Files of the shop: events, catalogue, truth. Each appears under its name only when it is whole."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.errors import RefusedError
from recsys.simulate import rows as r
from recsys.simulate.bots import names
from recsys.simulate.days import arriving
from recsys.simulate.lines import json_lines
from recsys.simulate.queries import categories, descriptions, titles
from recsys.simulate.sessions import DAY_US, HOUR_US, day_start
from recsys.simulate.shop import Shop
from recsys.simulate.tastes import today

HOURS_OF_A_FILE = 6
SOLD_PER_LINE = 0.03  # pieces sold on all channels for each line of events


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What a set of lines holds: `lines` = `accepted` + `duplicate` + the sum of `rejected`."""

    day: int
    lines: int
    accepted: int
    duplicate: int
    rejected: dict[str, int]
    accepted_by_type: dict[str, int]
    accepted_of_bots: int
    accepted_anonymous: int


def count(shop: Shop, day: int, rows: r.Rows) -> Counts:
    """Count a day's lines by what was planted in them."""
    clean = rows.take(rows.defect == r.CLEAN)
    kinds = np.bincount(clean.kind, minlength=len(r.KINDS)).tolist()
    return Counts(
        day=day,
        lines=len(rows),
        accepted=len(clean),
        duplicate=int((rows.defect == r.DUPLICATE).sum()),
        rejected={name: int((rows.defect == code).sum()) for code, name in enumerate(r.DEFECTS)},
        accepted_by_type=dict(zip(r.KINDS, kinds, strict=True)),
        accepted_of_bots=int((clean.user >= shop.settings.users).sum()),
        accepted_anonymous=int((clean.user < 0).sum()),
    )


def write_days(shop: Shop, folder: Path, first: int, last: int) -> Iterator[Counts]:
    """Write the days `first` to `last`, both included, as `events/YYYY-MM-DD-HH.json.gz`; yields each when it is whole.

    A line lies in the file whose six hours hold its arrival. Writing a day again gives the same bytes.
    """
    for day, rows in arriving(shop, first, last):
        begin = day_start(shop, day)
        edges = np.searchsorted(rows.arrive, begin + np.arange(0, 25, HOURS_OF_A_FILE) * HOUR_US)
        for part in range(24 // HOURS_OF_A_FILE):
            name = f"{_date(begin)}-{part * HOURS_OF_A_FILE:02d}.json.gz"
            write_events(shop, folder / "events" / name, rows.take(np.arange(edges[part], edges[part + 1])))
        counts = count(shop, day, rows)
        write_json(folder / "truth" / "days" / f"{_date(begin)}.json", asdict(counts))
        yield counts


def write_events(shop: Shop, path: Path, rows: r.Rows) -> None:
    """One gzipped JSON line a row."""
    text = pc.binary_join(pa.ListArray.from_arrays([0, len(rows)], json_lines(shop, rows)), "\n")[0]
    replace_file(path, gzip.compress(text.as_buffer().to_pybytes() + b"\n" * (len(rows) > 0), 1, mtime=0))


def write_catalogue(shop: Shop, folder: Path, day: int) -> int:
    """Write `catalogue.jsonl.gz`: the items launched until `day`, a line for each change of price or stock; how many.

    A line holds from the UTC time `changed` to the item's next one, or still holds. `price` is in decimal major units;
    `sales` the pieces sold from its launch to the line's last day, expected from its popularity; `stock` the pieces
    left, 0 where it is out; `launched` an ISO-8601 UTC time.
    """
    items = shop.items
    title, category, about = titles(shop), categories(shop), descriptions(shop)
    share = np.exp(items.base) * shop.clusters.weight[items.cluster]
    daily = share / share.sum() * shop.settings.events_per_day * SOLD_PER_LINE
    lines = []
    for i, since, until, price, stock in _changes(shop, day):
        launched = int(items.launch[i])
        entry = {
            "item": f"i{i:05d}", "category": category[i], "price": price / 100, "title": title[i],
            "description": about[i], "sales": int(daily[i] * (until + 1 - launched)), "stock": stock,
            "launched": _midnight(shop, launched), "changed": _midnight(shop, since),
        }  # fmt: skip
        lines.append(json.dumps(entry))
    replace_file(folder / "catalogue.jsonl.gz", gzip.compress(("\n".join(lines) + "\n").encode(), 6, mtime=0))
    return len(lines)


def _changes(shop: Shop, last: int) -> Iterator[tuple[int, int, int, int, int]]:
    """(item, first day, last day, price, stock) of each stretch of days up to `last` with one price and stock."""
    open_: dict[int, tuple[int, int, int]] = {}
    before = np.full(len(shop.items.launch), -1)  # price, negative where it is out
    for day in range(1, last + 1):
        now = today(shop, day)
        state = np.where(shop.items.launch > day, -1, np.where(now.available, now.price, -now.price))
        for i in np.flatnonzero(state != before).tolist():
            if i in open_:
                since, price, stock = open_[i]
                yield i, since, day - 1, price, stock
            left = 1 + (int(shop.items.price[i]) * 7 + day) % 90 if now.available[i] else 0
            open_[i] = (min(day, int(shop.items.launch[i])) if i not in open_ else day, int(now.price[i]), left)
        before = state
    for i, (since, price, stock) in open_.items():
        yield i, since, last, price, stock


def _midnight(shop: Shop, day: int) -> str:
    return f"{_date(day_start(shop, day))}T00:00:00Z"


def write_truth(shop: Shop, folder: Path) -> None:
    """Write what the events do not say: `truth/shop.json` (the settings) and `truth/bots.json` (user id -> way).

    RefusedError where the folder holds the days of another shop.
    """
    path, mine = folder / "truth" / "shop.json", shop.settings.model_dump(mode="json")
    if path.is_file() and (other := json.loads(path.read_text(encoding="utf-8"))) != mine:
        changed = ", ".join(f"{k} {other.get(k)!r} is now {v!r}" for k, v in mine.items() if other.get(k) != v)
        raise RefusedError(f"{str(folder)!r} holds another shop: {changed}. Take its settings or an empty folder.")
    write_json(path, mine)
    write_json(folder / "truth" / "bots.json", names(shop))


def write_json(path: Path, content: object) -> None:
    """Write an object as indented JSON, whole or not at all."""
    replace_file(path, (json.dumps(content, indent=2) + "\n").encode())


def replace_file(path: Path, content: bytes) -> None:
    """Write beside the target, under a hidden name that no reader takes, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(content)
    draft.replace(path)


def _date(moment: int) -> str:
    return datetime.fromtimestamp(moment // DAY_US * 86400, timezone.utc).strftime("%Y-%m-%d")
