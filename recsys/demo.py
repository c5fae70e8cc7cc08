"""The demo's own part: its folder and settings, which day comes next, and what it prints at the end."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import yaml
from pyspark.sql import functions as F

from recsys import log
from recsys.config import load, read_yaml
from recsys.errors import ConfigError, NoDataError
from recsys.io import Warehouse
from recsys.session import open_session
from recsys.tables import EVENTS

SIMULATE = "simulate"
FIRST_DAYS = 30
BUSY = 0.5  # a test day holds at least this share of the mean day's events
METRICS = ("ndcg@10", "recall@20", "coverage@10")
NARRATED = {  # event of the log -> its line
    "job starts": "[{number}/{of}] {job} …",
    "job ended": "      {job}: {seconds} s",
    "batch committed": "      {query}, batch {batch} committed",
    "parity": "      stored features computed anew: {differing:,} of {values:,} values differ",
    "training the encoder": "      encoder: {users:,} users, {behaviours:,} behaviours",
    "encoder epoch": "      epoch {epoch}: loss {loss}, recall@10 {recall_at_10} ({sequences_per_cpu_s:,} seq/CPU s)",
    "training the ranker": "      ranker: {examples:,} examples, {positives:,} positives",
    "ranker at the start": "      before training: validation AUC {validation_auc}",
    "ranker epoch": "      epoch {epoch}: loss {loss}, validation AUC {validation_auc}",
    "decision": "      version {version}: {outcome}, {reason}",
}
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Place:
    """Where the demo of one source lives."""

    folder: Path

    @property
    def simulated(self) -> bool:
        """Whether the source is the simulated shop."""
        return self.folder.name == SIMULATE

    @property
    def shop(self) -> Path:
        """The simulated shop's files."""
        return self.folder / "shop"

    @property
    def conf(self) -> Path:
        """The settings that every job of the demo reads."""
        return self.folder / "conf.yaml"

    @property
    def artifacts(self) -> Path:
        """Models, runs and reports."""
        return self.folder / "artifacts"


def prepare(source: str, data: str, folder: Path) -> Place:
    """Write the demo's settings: conf/local.yaml, what conf/demo has for the source, and paths below `folder`.

    Raises ConfigError: no such mapping or data folder.
    """
    mapping = Path(source) if source.endswith(".yaml") else ROOT / "conf" / "sources" / f"{source}.yaml"
    if not mapping.is_file():
        shipped = ", ".join(sorted(path.stem for path in mapping.parent.glob("*.yaml")))
        raise ConfigError(f"no mapping {str(mapping)!r}. Shipped: {shipped}; or give the path of your own .yaml file.")
    place = Place((folder / mapping.stem).resolve())
    if mapping.stem != SIMULATE and not (data and Path(data).is_dir()):
        raise ConfigError(f"DATA {data!r} is no folder: name the one that holds the files of {mapping.stem!r}.")
    source_folder = place.shop / "events" if mapping.stem == SIMULATE else Path(data).resolve()
    overlays = [ROOT / "conf" / "local.yaml", ROOT / "conf" / "demo" / f"{mapping.stem}.yaml"]
    values: dict[str, Any] = {}
    for overlay in overlays:
        values |= read_yaml(overlay.read_text(encoding="utf-8"), str(overlay)) if overlay.is_file() else {}
    values |= {
        "warehouse": str(place.folder / "tables"),
        "checkpoints": str(place.folder / "checkpoints"),
        "artifacts": str(place.artifacts),
        "mapping": str(mapping.resolve()),
        "source": str(source_folder),
        "pseudonym_key_file": str(place.folder / "pseudonym.key"),
    }
    place.folder.mkdir(parents=True, exist_ok=True)
    place.conf.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return place


def next_days(place: Place) -> tuple[int, int]:
    """The shop's days that this run makes: the first FIRST_DAYS, then one more each time."""
    made = len(list((place.shop / "truth" / "days").glob("*.json")))
    return (made + 1, made + 1) if made >= FIRST_DAYS else (1, FIRST_DAYS)


def newest_busy_day(warehouse: Warehouse) -> date:
    """The newest UTC day that holds at least BUSY of the mean day's events: logs often end in a thin tail.

    Raises NoDataError: no event was accepted.
    """
    days = warehouse.view().read(EVENTS).groupBy("event_date").agg(F.count("*").alias("events"))
    rows = days.orderBy("event_date").collect()  # one row a day
    if not rows:
        raise NoDataError("no event was accepted, so there is no day to test on: see table rejected_events.")
    mean = sum(row["events"] for row in rows) / len(rows)
    newest: date = next(row["event_date"] for row in reversed(rows) if row["events"] >= BUSY * mean)
    return newest


def streamed_day(place: Place) -> date:
    """`newest_busy_day` of what the demo has streamed."""
    settings = load([str(place.conf)])
    return newest_busy_day(Warehouse(open_session(settings, "recsys demo"), settings.warehouse))


class Narrator(logging.Handler):
    """The night's log as lines for a person: what starts, what it took, what went wrong."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's line to standard error, if it has one."""
        fields: dict[str, Any] = getattr(record, "fields", {})
        said = record.getMessage()
        if record.levelno >= logging.ERROR:
            sys.stderr.write(f"{said}\n")
        elif said in NARRATED:
            sys.stderr.write(NARRATED[said].format(**fields) + "\n")


def narrate(place: Place) -> None:
    """Send the log to a file in the demo's folder, and its story to standard error."""
    log.configure(stream=(place.folder / "log.jsonl").open("a", buffering=1, encoding="utf-8"))
    logging.getLogger("recsys").addHandler(Narrator())


def closing(place: Place, day: date) -> str:
    """What the demo prints at the end: lists of a few users, metrics beside popularity, where everything is."""
    page = place.artifacts / "reports" / day.isoformat()
    summary = json.loads((page / "summary.json").read_text(encoding="utf-8"))
    lines = []
    for sample in summary["samples"]:
        lines += ["", f"User {sample['user']}…  newest behaviour: {', '.join(sample['recent'][:3])}"]
        for place_, item in enumerate(sample["items"], start=1):
            lines.append(f"  {place_:2}. {item['name'][:44]:44}  {item['score']:.3f}  {item['reason']}")
    lines += ["", *_metrics(summary, "frozen", f"Lists made before {day}"), ""]
    lines += [*_metrics(summary, "streaming", f"Lists made at each request of {day}"), ""]
    store = f"sqlite:///{place.artifacts / 'mlflow.db'}"
    lines += [
        summary["verdict"],
        f"Report   {page / 'report.html'}",
        f"Tables   {place.folder / 'tables'}",
        f"MLflow   .venv/bin/mlflow ui --backend-store-uri {store}",
    ]
    return "\n".join(lines)


def _metrics(summary: dict[str, Any], mode: str, title: str) -> list[str]:
    rows = {(r["model"], r["metric"]): r for r in summary["metrics"][mode] if r["slice"] == "all"}
    models = list(dict.fromkeys(model for model, _ in rows))
    users = next((r["users"] for r in rows.values() if r["metric"] == "ndcg@10"), 0)
    lines = [f"{title} ({users:,} test users)", "  " + " " * 22 + "".join(f"{name:>13}" for name in METRICS)]
    for model in models:
        values = (rows.get((model, name), {}).get("value") for name in METRICS)
        lines.append(f"  {model:22}" + "".join(f"{v:13.4f}" if v is not None else f"{'–':>13}" for v in values))
    return lines


def day_of(place: Place, number: int) -> date:
    """The date of the shop's day `number`, from 1."""
    shop = json.loads((place.shop / "truth" / "shop.json").read_text(encoding="utf-8"))
    return date.fromisoformat(shop["start"]) + timedelta(days=number - 1)
