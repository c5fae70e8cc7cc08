"""Answers over HTTP: our server by behaviours and by user id, and the same bundle under `mlflow models serve`.

50 thousand items, 200 candidates ranked, every request another user, no cache. The server has one core, the requests
come from another.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # before PyTorch starts more

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from benchmarks._bare import save_bare
from benchmarks._bundle import ITEMS, random_recent, synthetic_bundle
from benchmarks._load import Answers, Request, closed_loop, open_loop
from benchmarks._record import Figure, Run, main, once
from benchmarks._servers import mlflow_serving, serving
from recsys.config import Settings
from recsys.registry import tracking
from recsys.registry.promote import register
from recsys.serving.sqlite import SqliteStore
from recsys.serving.store import SCHEMA, Profile, flat, pack

LOAD = 0.3  # of capacity
P99_MS, P99_GOAL_MS, EXTRA_MS, RATIO, BATCH = 20.0, 10.0, 8.0, 1.3, 20.0
BATCH_ROWS = 512
WANTED_RATE = 20_000
HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class Setup:
    """What all parts share."""

    run: Run
    folder: Path
    settings: Settings
    requests: int
    k: int
    at: int

    @property
    def sets(self) -> list[str]:
        """The servers' settings."""
        return [
            f"artifacts={self.settings.artifacts}",
            f"serving.store={self.folder}/online.db",
            "serving.raw_ids=false",
        ]

    def recents(self, count: int, salt: int) -> Iterator[list[dict[str, object]]]:
        """Histories of so many users, none of whom occurs twice."""
        rng = np.random.default_rng([self.run.seed, salt])
        return (random_recent(rng, self.k, self.at) for _ in range(count))


def arguments(parser: argparse.ArgumentParser) -> None:
    """The benchmark's own options."""
    parser.add_argument("--requests", type=int, default=10_000, help="of each open loop")


def measure(run: Run, asked: argparse.Namespace) -> None:
    """Our server, then MLflow's, then batches in this process."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder, now = Path(name), time.time_ns() // 1000
        settings = Settings(artifacts=f"{name}/artifacts", warehouse=name)
        bundle = synthetic_bundle(folder / "made" / "b", run.seed, now - HOUR_US)
        tracking.connect(settings)
        with tracking.run(settings, "bundle", "benchmark", {}, {}):
            version = register(bundle.folder, settings.registry)
        mlflow.MlflowClient().set_registered_model_alias(settings.registry.model, settings.registry.alias, version)
        requests = 300 if asked.quick else asked.requests
        setup = Setup(run, folder, settings, requests, settings.features.k, now)
        ours(setup)
        under_mlflow(setup)
        batches(setup)


def ours(setup: Setup) -> None:
    """Capacity of one process and of two, then open loops by behaviours and by user id."""
    users = fill_store(setup)
    core, other = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {other})
    with ExitStack() as stack:
        port = stack.enter_context(serving(setup.sets, {core}, setup.folder / "serving.log"))
        by_recent = [
            Request(port, "/recommend", json.dumps({"recent": r}).encode()) for r in setup.recents(setup.requests, 1)
        ]
        probe = by_recent[: max(len(by_recent) // 10, 100)]
        closed_loop(probe, 2)
        closed = closed_loop(probe, 2)
        capacity = len(probe) / closed.wall
        figure(setup, "requests_per_s_core", capacity, "requests/s", closed, len(probe), replicas(capacity))
        answers = open_loop(by_recent, LOAD * capacity, setup.run.seed)
        latencies(setup, "http", answers)
        by_id = [asking(port, {"user_id": user}) for user in users]
        closed_loop(by_id[: len(probe)], 2)
        latencies(setup, "http_by_id", open_loop(by_id, LOAD * capacity, setup.run.seed + 1))
        cached(setup, probe, core)
        second = stack.enter_context(serving(setup.sets, {other}, setup.folder / "second.log"))
        os.sched_setaffinity(0, {core, other})
        shared = [Request((port, second)[n % 2], r.path, r.body) for n, r in enumerate(probe)]
        closed_loop(shared, 4)
        both = closed_loop(shared, 4)
        note = "two processes; their two cores also send the requests"
        figure(setup, "two_processes_ratio", len(shared) / both.wall / capacity, "x", both, len(shared), note)


def cached(setup: Setup, known: list[Request], core: int) -> None:
    """An open loop of requests whose answers are all kept, from a server that keeps them."""
    keeping = [*setup.sets, "serving.cache_s=3600"]
    with serving(keeping, {core}, setup.folder / "keeping.log") as port:
        again = [Request(port, r.path, r.body) for r in known]
        closed_loop(again, 2)
        capacity = len(again) / closed_loop(again, 2).wall
        turns = [again[n % len(again)] for n in range(setup.requests)]
        latencies(setup, "http_cached", open_loop(turns, LOAD * capacity, setup.run.seed + 2))


def asking(port: int, body: dict[str, object]) -> Request:
    """A request to our server."""
    return Request(port, "/recommend", json.dumps(body).encode())


def fill_store(setup: Setup) -> list[str]:
    """Put a profile for each request; their user ids."""
    kind, users = pa.struct(list(SCHEMA)), [f"{n:032x}" for n in range(setup.requests)]

    def profiles() -> Iterator[Profile]:
        for user, recent in zip(users, setup.recents(setup.requests, 2), strict=True):
            rows = pa.array([{"quantity": 1, **row} for row in recent], kind)
            yield Profile(user_id=user, epoch=0, batch=0, as_of=setup.at, recent=pack(flat(rows)))

    store = SqliteStore(setup.folder / "online.db", create=True)
    store.put(profiles())
    store.close()
    return users


def under_mlflow(setup: Setup) -> None:
    """The champion and a bare model, both under `mlflow models serve`, their requests by turns in one open loop."""
    core, other = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
    save_bare(setup.folder / "bare")
    names = setup.settings.registry
    with ExitStack() as stack:
        os.sched_setaffinity(0, {other})
        model = f"models:/{names.model}@{names.alias}"
        full = stack.enter_context(mlflow_serving(model, {core}, setup.folder / "full.log"))
        bare = stack.enter_context(mlflow_serving(str(setup.folder / "bare"), {core}, setup.folder / "bare.log"))
        bodies = [json.dumps({"dataframe_records": [{"recent": r}]}).encode() for r in setup.recents(setup.requests, 3)]
        turns = [Request((full, bare)[n % 2], "/invocations", body) for n, body in enumerate(bodies)]
        probe = turns[: max(len(turns) // 20, 100)]
        closed_loop(probe, 1)
        capacity = len(probe) / closed_loop(probe, 1).wall
        answers = open_loop(turns, LOAD * capacity, setup.run.seed)
        os.sched_setaffinity(0, {core, other})
    p50, p99 = [(answers.ms(p, 2, 0), answers.ms(p, 2, 1)) for p in (50, 99)]
    rows, note = len(turns), f"the same bodies by turns, {LOAD:.0%} of both servers' capacity on one core"
    extra = p50[0] - p50[1]
    add(setup, "mlflow_p50_extra_ms", extra, "ms", rows, answers.wall, "bare model", p50[1], extra / EXTRA_MS, note)
    add(setup, "mlflow_p99_ratio", p99[0], "ms", rows, answers.wall, "bare model", p99[1], p99[0] / p99[1], note)


def batches(setup: Setup) -> None:
    """Users a second of one call with BATCH_ROWS requests over that of calls with one."""
    names = setup.settings.registry
    model = mlflow.pyfunc.load_model(f"models:/{names.model}@{names.alias}")
    frame: pd.DataFrame = pd.DataFrame({"recent": list(setup.recents(BATCH_ROWS, 4))})
    singles = [frame.iloc[[row]] for row in range(0, BATCH_ROWS, 4)]
    model.predict(frame)
    single = sorted(once(lambda row=row: model.predict(row)) for row in singles)[len(singles) // 2]  # type: ignore[misc]
    batch = sorted(once(lambda: model.predict(frame)) for _ in range(3))[1]
    rate = BATCH_ROWS / batch
    note = f"one call of {BATCH_ROWS} requests, as MLflow loads the model; wanted: {BATCH:g} times the single calls"
    add(setup, "batch_vs_single", rate, "users/s", BATCH_ROWS, batch, "single calls", 1 / single, rate * single, note)


def latencies(setup: Setup, name: str, answers: Answers) -> None:
    """p50 and p99 of an open loop."""
    what = f"{ITEMS} items, 200 candidates, histories up to {setup.k}, {LOAD:.0%} of one core's capacity"
    figure(setup, f"{name}_p50_ms", answers.ms(50), "ms", answers, setup.requests, what)
    rows, p99 = setup.requests, answers.ms(99)
    note = f"{what}; goal {P99_GOAL_MS:g}"
    add(setup, f"{name}_p99_ms", p99, "ms", rows, answers.wall, "limit", P99_MS, p99 / P99_MS, note)


def replicas(capacity: float) -> str:
    """How many processes answer WANTED_RATE requests a second at LOAD of their capacity, and at twice that."""
    few, many = WANTED_RATE / (2 * LOAD * capacity), WANTED_RATE / (LOAD * capacity)
    return f"{WANTED_RATE} requests/s: {many:.0f} processes at {LOAD:.0%} of capacity, {few:.0f} at {2 * LOAD:.0%}"


def figure(setup: Setup, metric: str, value: float, unit: str, answers: Answers, rows: int, note: str) -> None:
    """A figure without a peer."""
    more: dict[str, str | int | float | bool | None] = {"note": note}
    setup.run.add(Figure(metric=metric, value=value, unit=unit, rows=rows, seconds=answers.wall, more=more))


def add(
    setup: Setup,
    metric: str,
    value: float,
    unit: str,
    rows: int,
    seconds: float,
    peer: str,
    peer_value: float,
    ratio: float,
    note: str,
) -> None:
    """A figure beside a peer's or a limit."""
    setup.run.add(
        Figure(
            metric=metric,
            value=value,
            unit=unit,
            rows=rows,
            seconds=seconds,
            peer=peer,
            peer_value=peer_value,
            ratio=ratio,
            more={"note": note},
        )
    )


if __name__ == "__main__":
    sys.exit(main("serve", __doc__ or "", measure, arguments=arguments))
