"""The champion measured on a day that it has not seen: metrics, report page, summary, MLflow run."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from datetime import date, datetime, timezone
from pathlib import Path

import mlflow
import pyarrow as pa

from recsys.config import Settings
from recsys.days import hours_of, start_of
from recsys.encoder.job import labels_from
from recsys.errors import NoDataError, RefusedError
from recsys.features.snapshots import write_snapshots
from recsys.flow import STAGES
from recsys.io import View, Warehouse
from recsys.log import event
from recsys.monitor import page, simulated
from recsys.monitor.challenge import paths_of, snapshots_folder
from recsys.monitor.named import named_by_lists
from recsys.monitor.oracle import ORACLE, oracle_lists, truth_folder
from recsys.monitor.report import write_report
from recsys.monitor.report_data import ReportData, StageLine
from recsys.monitor.spark import evaluate_frozen, evaluate_streaming
from recsys.paths import local_folder
from recsys.registry import tracking
from recsys.registry.bundle import Bundle
from recsys.tables import EVENTS

MODEL = "evaluate"
PAGE, SUMMARY = "report.html", "summary.json"
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """Both modes' rows of timesplit.RESULT."""

    frozen: pa.Table
    streaming: pa.Table


def evaluate_day(warehouse: Warehouse, settings: Settings, source: str, day: date, bundle: Bundle) -> Path:
    """Measure `bundle` on the business day `day` and write its page and summary; returns the page's path.

    `source` is the mapping's name. Raises RefusedError: the bundle has learned from that day, so that nothing measured
    on it would mean anything. NoDataError: the day has no test user.
    """
    start = start_of(day, settings.timezone)
    if labels_from(bundle.encoder) > start:
        raise RefusedError(
            f"bundle {bundle.id} has learned from behaviours up to {labels_from(bundle.encoder).isoformat()}: measured "
            f"on {day} it would be flattered. Evaluate a later day."
        )
    view = warehouse.view()
    shop = truth_folder(settings.source)
    measured = measure_day(view, settings, day, bundle, shop)
    folder = report_folder(settings, day)
    data = gathered(view, settings, source, day, bundle, measured, shop)
    write_report(data, folder / PAGE)
    text = json.dumps(known(summary(data)), indent=1, default=str, allow_nan=False)
    (folder / SUMMARY).write_text(text + "\n", encoding="utf-8")
    _track(settings, view, day, bundle, measured, folder)
    event(log, "report written", day=day.isoformat(), path=str(folder / PAGE))
    return folder / PAGE


def measure_day(view: View, settings: Settings, day: date, bundle: Bundle, shop: Path | None) -> Measured:
    """The day's metrics: lists made at its start, and lists made at each request with hourly item snapshots."""
    events = view.read(EVENTS)
    hours = write_snapshots(view, hours_of(day, settings.timezone), settings, snapshots_folder(settings))
    snapshots = [(hour, paths_of(bundle, path)) for hour, path in hours]
    others = {ORACLE: oracle_lists(view.warehouse.spark, shop, day, settings)} if shop else {}
    frozen = evaluate_frozen(events, day, snapshots[0][1], settings, others).toArrow()
    if not frozen.num_rows:
        targets = ", ".join(settings.targets())
        raise NoDataError(f"no user had a {targets} with a new item on {day}: there is nothing to measure on.")
    return Measured(frozen=frozen, streaming=evaluate_streaming(events, day, snapshots, settings).toArrow())


def report_folder(settings: Settings, day: date) -> Path:
    """Where the day's page and summary lie."""
    return local_folder(settings.artifacts) / "reports" / day.isoformat()


def gathered(
    view: View, settings: Settings, source: str, day: date, bundle: Bundle, measured: Measured, shop: Path | None
) -> ReportData:
    """What the page shows."""
    spark = view.warehouse.spark
    bots = simulated.true_bots(spark, shop, settings) if shop else None
    return ReportData(
        source=source,
        day=day,
        zone=settings.timezone,
        made_at=datetime.now(timezone.utc),
        bundle=bundle.id,
        seed=settings.seed,
        verdict=page.verdict(settings, day),
        facts=page.facts(view),
        batches=page.totals(view),
        reasons=page.reasons(view),
        metrics=measured.frozen,
        streaming=measured.streaming,
        scores={},
        curves=page.curves(settings, day),
        selection=bundle.ranker.shape.selection,
        realism=simulated.compared(view, settings, bots) if bots else (),
        bots=simulated.bots_found(view, bots) if bots else None,
        named=named_by_lists(view, shop) if shop else None,
        samples=page.samples(view, settings),
        versions=view.versions,
        flow=tuple(StageLine(name=s.does, job=f"jobs/{s.name}.py", reads=s.reads, writes=s.writes) for s in STAGES),
    )


def summary(data: ReportData) -> dict[str, object]:
    """The page's figures as plain JSON, for programs."""
    rows = {"frozen": data.metrics, "streaming": data.streaming}
    return {
        "source": data.source,
        "day": data.day,
        "bundle": data.bundle,
        "seed": data.seed,
        "verdict": data.verdict,
        "batches": [asdict(line) for line in data.batches],
        "reasons": data.reasons,
        "metrics": {mode: table.to_pylist() for mode, table in rows.items() if table is not None},
        "bots": None if data.bots is None else asdict(data.bots),
        "named": None if data.named is None else asdict(data.named),
        "realism": [asdict(line) | {"verdict": line.verdict} for line in data.realism],
        "selection": None if data.selection is None else data.selection.model_dump(mode="json"),
        "samples": [asdict(sample) for sample in data.samples],
        "versions": data.versions,
    }


def known(value: object) -> object:
    """The same value with None in place of NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: known(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [known(one) for one in value]
    return None if isinstance(value, float) and value != value else value


def _track(settings: Settings, view: View, day: date, bundle: Bundle, measured: Measured, folder: Path) -> None:
    params = {**settings.evaluate.model_dump(), "bundle": bundle.id, "day": day, "seed": settings.seed}
    with tracking.run(settings, MODEL, day.isoformat(), params, view.versions):
        for mode, table in (("frozen", measured.frozen), ("streaming", measured.streaming)):
            rows = [row for row in table.to_pylist() if row["slice"] == "all" and row["value"] is not None]
            names = [f"{mode}/{row['model']}/{row['metric']}".replace("@", "_at_") for row in rows]
            mlflow.log_metrics(dict(zip(names, (row["value"] for row in rows), strict=True)))
        mlflow.log_artifacts(str(folder), "report")
