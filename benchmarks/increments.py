"""The ranker by increments, daily and hourly, beside full retraining, on days of the simulated shop.

Prequential (Gama et al. 2013, On evaluating stream learning algorithms, section 3): each day is scored by rankers that
know nothing of it, and then learned from. Encoders, item features and examples are made as the night's jobs make them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from benchmarks._machine import cpu_s
from benchmarks._pipeline import pipeline, session
from benchmarks._record import Figure, Run, Value, main, once
from benchmarks.backfill import commit_all
from recsys import queries
from recsys.config import Settings
from recsys.encoder import job as encoders
from recsys.errors import NoDataError
from recsys.features.definitions import feature_names
from recsys.io import Warehouse
from recsys.ranking.job import as_examples, example_rows, write_examples
from recsys.ranking.replay import drawn
from recsys.ranking.train import Examples, train_ranker
from recsys.ranking.trained import TrainedRanker
from recsys.ranking.validation import area_under_curve
from recsys.simulate.settings import SimulateSettings
from recsys.simulate.shop import open_shop
from recsys.simulate.write import write_catalogue, write_days
from recsys.tables import EVENTS

BASE = 12  # days of the shop that only the encoder learns from
FIRST = 3  # days of labels that all begin with
FULL = (3, 7, 0)  # days of labels of a full training; 0: all there are
REPLAYED = 0.5  # older requests mixed into an increment, as a share of the new ones
NEAR = 0.001  # AUC within which a cheaper full training stands for the best one
COST = 0.1  # largest share of its processor time that an increment may take
HOUR_US = 3_600_000_000


def arguments(parser: argparse.ArgumentParser) -> None:
    """The benchmark's own options."""
    parser.add_argument("--mapping", default=Settings().mapping, help="the simulated shop's mapping")
    parser.add_argument("--days", type=int, default=14, help="daily increments")
    parser.add_argument("--requests", type=int, default=6_000, help="labelled requests of a day, at most")


@dataclass(frozen=True, kw_only=True)
class Days:
    """Label days, ascending, with examples in their table."""

    warehouse: Warehouse
    settings: Settings
    bounds: list[datetime]  # UTC; day n is [bounds[n], bounds[n + 1])
    built: list[float]  # CPU-seconds of making each day's examples, Spark's processes included

    def read(self, first: int, last: int) -> pa.Table:
        """The rows of days [first, last)."""
        return example_rows(self.warehouse.view(), self.bounds[first], self.bounds[last])

    def train(self, rows: pa.Table, start: TrainedRanker | None) -> TrainedRanker:
        """A ranker of these rows, from the beginning or from an earlier one."""
        names = feature_names(self.settings.features)
        return train_ranker(as_examples(rows), self.settings.ranker, self.settings.seed, names, start)[0]


@dataclass
class Arm:
    """A way of keeping a ranker up to date: what it scores on each day, and what learning a day has cost."""

    ranker: TrainedRanker
    auc: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)  # reading, training and scoring
    built: list[float] = field(default_factory=list)  # making the examples

    @property
    def whole(self) -> float:
        """CPU-seconds of a day, on average."""
        return float(np.mean(self.cpu) + np.mean(self.built))


def measure(run: Run, asked: argparse.Namespace) -> None:
    """`increment_auc`, `increment_cpu_s`, their parts, and `hourly_auc`."""
    torch.set_num_threads(1)
    count, requests = (2, 500) if asked.quick else (asked.days, asked.requests)
    with tempfile.TemporaryDirectory(prefix="recsys-bench-") as name:
        days = made(Path(name), asked.mapping, SimulateSettings(seed=run.seed), FIRST + count + 1, requests)
        first = days.train(days.read(0, FIRST), None)
        arms = {kind: Arm(first) for kind in ("stale", "increments", "replaying", *map(str, FULL))}
        for day in range(FIRST, FIRST + count):
            learn(days, arms, day)
            told = {kind: round(arm.auc[-1], 4) for kind, arm in arms.items()}
            print(f"increments: day {day - FIRST + 1} of {count} learned, AUC of the next {told}", flush=True)
        hourly = by_hour(days, first, count)
    daily(run, arms)
    hours(run, arms["increments"], hourly)


def made(folder: Path, mapping: str, shop: SimulateSettings, labels: int, requests: int) -> Days:
    """The shop's events, the encoders of BASE days and of `labels` increments, and the examples of these days."""
    last, opened = BASE + labels, open_shop(shop)
    for _ in write_days(opened, folder / "shop", 1, last):
        pass
    write_catalogue(opened, folder / "shop", last)
    own = pipeline(session(folder), folder / "streamed", mapping, f"{folder}/shop/events")
    queries.wait([own.ingest()])
    warehouse = Warehouse(own.warehouse.spark, str(folder / "tables"))
    commit_all(warehouse, own.warehouse.view().read(EVENTS), own.mapping, folder / "shop" / "catalogue.jsonl.gz")
    ranker = own.settings.ranker.model_copy(update={"days": labels, "max_requests": requests})
    places = {"artifacts": str(folder / "artifacts"), "warehouse": warehouse.root}
    settings = own.settings.model_copy(update={"ranker": ranker, "seed": shop.seed, **places})
    day = shop.start + timedelta(days=last)
    encoders.train_base(warehouse.view(), settings, day, lambda epoch: None)
    encoders.train_encoder(warehouse.view(), settings, day, lambda epoch: None)
    steps = encoders.steps_of(settings, day)
    built = [cpu(lambda step=step: write_examples(warehouse, settings, [step])) for step in steps]  # type: ignore[misc]
    print(f"increments: examples of {len(steps)} days made, {sum(built):.0f} CPU-seconds", flush=True)
    bounds = [steps[0].since, *(step.until for step in steps)]
    return Days(warehouse=warehouse, settings=settings, bounds=bounds, built=built)


def learn(days: Days, arms: dict[str, Arm], day: int) -> None:
    """Each arm learns the day its own way, and scores the next one."""
    for kind, arm in arms.items():
        first = {"stale": day + 1, "increments": day, "replaying": day}.get(kind)
        if first is None:
            first = max(day + 1 - int(kind), 0) if int(kind) else 0

        def step(arm: Arm = arm, kind: str = kind, first: int = first) -> None:
            if kind != "stale":
                warm = arm.ranker if kind in {"increments", "replaying"} else None
                rows = days.read(first, day + 1)
                arm.ranker = days.train(replayed(days, rows, day) if kind == "replaying" else rows, warm)
            arm.auc.append(auc(arm.ranker, as_examples(days.read(day + 1, day + 2))))

        arm.cpu.append(cpu(step))
        arm.built.append(sum(days.built[first : day + 1]))


def replayed(days: Days, rows: pa.Table, day: int) -> pa.Table:
    """The day's rows behind those of REPLAYED times as many requests of the days before."""
    before, features = days.read(max(day - FIRST, 0), day), len(feature_names(days.settings.features))
    return pa.concat_tables([drawn(before, rows, REPLAYED, features, days.settings.seed), rows])


def by_hour(days: Days, start: TrainedRanker, count: int) -> list[float]:
    """AUC of each scored day where the ranker learns from every hour with enough requests once that has ended."""
    ranker, found, least = start, [], days.settings.ranker.gate.requests
    for day in range(FIRST, FIRST + count + 1):
        rows = days.read(day, day + 1)
        hour = (rows["at"].cast(pa.int64()).to_numpy() - int(days.bounds[day].timestamp() * 1e6)) // HOUR_US
        scores, pending = [], rows.slice(0, 0)
        for number in np.unique(hour):
            low, high = np.searchsorted(hour, [number, number + 1])
            own = rows.slice(low, high - low)
            scores.append(logits(ranker, as_examples(own)))
            pending = pa.concat_tables([pending, own])
            if len(pc.unique(pending["request_id"])) < least:
                continue
            try:
                ranker, pending = days.train(pending, ranker), pending.slice(0, 0)
            except NoDataError:  # all at one moment: it learns from them with the next hour's
                continue
        if day > FIRST:
            found.append(area_under_curve(as_examples(rows).y, np.concatenate(scores)))
    return found


def logits(ranker: TrainedRanker, found: Examples) -> np.typing.NDArray[np.float32]:
    """[N] log odds that each example is a label and not a draw, as validation has them."""
    every = np.ones(len(found.y), dtype=np.bool_)
    return ranker.logits(*found.read(every)) - found.taken_off(ranker, every)


def auc(ranker: TrainedRanker, found: Examples) -> float:
    """Of one day."""
    return area_under_curve(found.y, logits(ranker, found))


def cpu(work: Callable[[], object]) -> float:
    """CPU-seconds of this process and all below it."""
    return once(work, lambda: cpu_s(os.getpid()))


def daily(run: Run, arms: dict[str, Arm]) -> None:
    """Increments beside the cheapest full training whose AUC is within NEAR of the best one's."""
    fulls = {kind: arms[kind] for kind in map(str, FULL)}
    best = max(float(np.mean(arm.auc)) for arm in fulls.values())
    near = {kind: arm for kind, arm in fulls.items() if np.mean(arm.auc) >= best - NEAR}
    name = min(near, key=lambda kind: near[kind].whole)
    peer, said = near[name], f"full training on {'all' if name == '0' else name} days of labels"
    series: dict[str, Value] = {kind: json.dumps([round(value, 5) for value in arm.auc]) for kind, arm in arms.items()}
    for kind in ("increments", "replaying", "stale"):
        own = arms[kind]
        lead = np.asarray(own.auc) - np.asarray(peer.auc)
        more: dict[str, Value] = {"difference": float(lead.mean()), "days_ahead": int((lead > 0).sum())}
        ours, theirs = float(np.mean(own.auc)), float(np.mean(peer.auc))
        more |= series if kind == "increments" else {}
        add(run, f"{kind}_auc", (ours, theirs), "mean AUC of the next day", said, len(lead), sum(own.cpu), more)
    for kind in ("increments", "replaying"):
        own = arms[kind]
        more = {"wanted": COST, "without_examples": float(np.mean(own.cpu) / np.mean(peer.cpu))}
        add(run, f"{kind}_cpu_s", (own.whole, peer.whole), "CPU-s", said, len(own.cpu), sum(own.cpu), more)
    for kind, arm in fulls.items():
        more = {"auc": float(np.mean(arm.auc)), "days": kind if kind != "0" else "all"}
        add(run, "full_cpu_s", (arm.whole, None), "CPU-s", None, len(arm.cpu), sum(arm.cpu), more)


def hours(run: Run, arm: Arm, hourly: list[float]) -> None:
    """Hourly beside daily increments on the same days."""
    lead = np.asarray(hourly) - np.asarray(arm.auc)
    more: dict[str, Value] = {"difference": float(lead.mean()), "days_ahead": int((lead > 0).sum())}
    more["hourly"] = json.dumps([round(value, 5) for value in hourly])
    pair = float(np.mean(hourly)), float(np.mean(arm.auc))
    add(run, "hourly_auc", pair, "mean AUC of a day", "daily increments", len(hourly), 0.0, more)


def add(
    run: Run,
    metric: str,
    pair: tuple[float, float | None],
    unit: str,
    peer: str | None,
    rows: int,
    seconds: float,
    more: dict[str, Value],
) -> None:
    """A figure beside its peer's."""
    ratio = None if pair[1] is None else pair[0] / pair[1]
    told = {"peer": peer, "peer_value": pair[1], "ratio": ratio, "more": more}
    run.add(Figure(metric=metric, value=pair[0], unit=unit, rows=rows, seconds=seconds, **told))  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main("increments", __doc__ or "", measure, threads=2, arguments=arguments))
