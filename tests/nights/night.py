"""A tiny simulated shop and its nights, run through the jobs' own command lines."""

from __future__ import annotations

import json
import logging
import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobs import nightly, simulate
from recsys.config import Settings, load
from recsys.job import resolved, run
from tests.jobs.conftest import write_conf

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from recsys.io import View
    from recsys.registry.bundle import Bundle
    from recsys.tables import Table

SHOP = ("users=250", "items=150", "events_per_day=2500", "cluster_items=15", "bots=2")
FIRST, SECOND = date(2025, 3, 6), date(2025, 3, 7)  # days 4 and 5 of the shop
SMALL: dict[str, Any] = {
    "encoder": {"dim": 16, "length": 10, "epochs": 2, "batch": 64, "negatives": 64},
    "ranker": {"days": 1, "hidden": [8], "epochs": 2, "batch": 256, "attention": 5},
    "features": {"k": 32},
    "topn": {"candidates": 30, "popular": 10},
    "evaluate": {"resamples": 100, "step_minutes": 60},
    "registry": {"resamples": 100},
}


class Lines(logging.Handler):
    """What was logged: the event and its fields."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append({"event": record.getMessage(), "level": record.levelname, **getattr(record, "fields", {})})


@dataclass
class Nights:
    """The shop's folder, its settings, and what each job of the first night really read and wrote."""

    folder: Path
    conf: str
    settings: Settings
    reads: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    writes: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    @property
    def key(self) -> str:
        """What the pseudonyms of users are made with."""
        return (self.folder / "key").read_text()

    @property
    def shop(self) -> Path:
        """Where the shop's days lie."""
        return self.folder / "shop"

    def run(self, day: date) -> tuple[int, list[dict[str, Any]]]:
        """The exit code of `jobs/nightly.py --date DAY` and what it logged."""
        handler = Lines()
        logging.getLogger("recsys").handlers[:] = [handler]
        logging.getLogger("recsys").setLevel("INFO")
        code = run(nightly.JOB, nightly.main, ["--conf", self.conf, "--date", day.isoformat()])
        return code, handler.found

    def view(self, spark: SparkSession) -> View:
        """The tables as they are."""
        from recsys.io import Warehouse

        return Warehouse(spark, self.settings.warehouse).view()

    def codes(self, day: date) -> dict[str, int]:
        """What was kept of a night."""
        found: dict[str, int] = json.loads((self.folder / "artifacts" / "nightly" / f"{day}.json").read_text())
        return found


@dataclass(frozen=True)
class Done:
    """A finished night: its code, its lines, the bundle that was champion then, and the tables as it left them."""

    code: int
    lines: list[dict[str, Any]]
    champion: Bundle
    view: View


def make(shop: Path, days: str) -> None:
    """Simulate some of the shop's days."""
    assert simulate.main(["--out", str(shop), "--days", days, *(f"--set={assignment}" for assignment in SHOP)]) == 0


def open_shop(folder: Path) -> Nights:
    """Settings for a shop in `folder`, as a job resolves them."""
    conf = write_conf(folder, **SMALL)
    (folder / "key").write_text(secrets.token_hex(32))
    return Nights(folder, conf, resolved(load([conf], env={})))


def started(lines: Sequence[dict[str, Any]]) -> list[str]:
    """The jobs that a run began, in order."""
    return [line["job"] for line in lines if line["event"] == "job starts"]


@contextmanager
def watched(nights: Nights, jobs: dict[str, Any]) -> Iterator[None]:
    """Note each table that a job reads or writes."""
    from recsys import fold
    from recsys.io import View, Warehouse
    from recsys.rewrite import rewrite

    now: list[str] = []
    pack = fold._pack
    read, write = View.read, Warehouse.write

    def noted_read(view: View, table: Table) -> DataFrame:
        nights.reads[now[-1]].add(table.name)
        return read(view, table)

    def noted_write(warehouse: Warehouse, table: Table, *more: Any, **options: Any) -> int:
        nights.writes[now[-1]].add(table.name)
        return write(warehouse, table, *more, **options)

    def noted_rewrite(spark: SparkSession, path: str, *more: Any) -> int:
        nights.writes[now[-1]].add(path.rpartition("/")[2])
        return rewrite(spark, path, *more)

    def noted_pack(warehouse: Warehouse, table: Table, last: date) -> None:
        nights.writes[now[-1]].add(table.name)
        pack(warehouse, table, last)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fold, "rewrite", noted_rewrite)
        patch.setattr(fold, "_pack", noted_pack)
        patch.setattr(View, "read", noted_read)
        patch.setattr(Warehouse, "write", noted_write)
        for name, module in jobs.items():

            def main(context: Any, name: str = name, inner: Any = module.main) -> Any:
                now.append(name)
                return inner(context)

            patch.setattr(module, "main", main)
        yield


@contextmanager
def progress_log(spark: SparkSession) -> Iterator[None]:
    """The listener that `jobs/stream.py` adds is taken off the shared session afterwards."""
    from recsys import queries

    listener = queries.ProgressLog()
    queries.log_progress.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queries, "ProgressLog", lambda: listener)
        yield
    spark.streams.removeListener(listener)
    queries.log_progress.cache_clear()
