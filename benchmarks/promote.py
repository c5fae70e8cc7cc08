"""Promotion under faults, rollback, and hostile models: what breaks, what runs, how long going back takes."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._record import ROOT, Figure, Run, Timing, Value, main, once
from recsys.errors import BundleError, RecsysError

LIMIT_S, ROLLBACK_S = 45 * 60.0, 5.0
ROLLBACKS = 3


def arguments(parser: argparse.ArgumentParser) -> None:
    """The suite's own options."""
    parser.add_argument("--rounds", type=int, default=500, help="rounds that count (default 500)")
    parser.add_argument("--cold", type=int, default=60, help="of these, in processes of their own (default 60)")


def measure(run: Run, asked: argparse.Namespace) -> None:
    """All figures; RecsysError where a load was broken, the record is wrong or hostile code ran."""
    with tempfile.TemporaryDirectory(prefix="recsys-promote-") as folder:
        wrong = hostile(run, Path(folder) / "hostile")
        rounds, cold = (6, 1) if asked.quick else (asked.rounds, asked.cold)
        wrong += faults(run, Path(folder) / "faults", rounds, cold)
        rollback(run, Path(folder) / "faults")
    if wrong:
        raise RecsysError(f"{len(wrong)} faults. The first: " + "; ".join(wrong[:5]))


def faults(run: Run, folder: Path, rounds: int, cold: int) -> list[str]:
    """Rounds in a process of their own, which forks them; the histogram of phases is a field of the line."""
    command = [sys.executable, "-m", "tests.faults.suite", "--folder", str(folder), "--seed", str(run.seed)]
    done = subprocess.run(
        [*command, "--rounds", str(rounds), "--cold", str(cold)],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if not done.stdout:
        raise RecsysError("the rounds ended without a result: see above.")
    found: dict[str, Any] = json.loads(done.stdout)
    for name, count in sorted(found["phases"].items()):
        print(f"promote {name:28}{count:5}", flush=True)
    seconds, count = float(found["seconds"]), int(found["rounds"])
    more: dict[str, Value] = {name: found[name] for name in ("tried", "cold", "loads", "fresh", "behind")}
    more |= {"fewest": min(found["phases"].values(), default=0)}
    more |= {"phases": json.dumps(found["phases"], sort_keys=True), "wrong": len(found["wrong"])}
    more |= {"without_order": len(found["without_order"])}
    tried = int(found["tried"])
    run.add(Figure(metric="rounds", value=count, unit="rounds", rows=tried, seconds=seconds, more=more))
    run.add(limited("rounds_s", seconds, LIMIT_S, tried, seconds, {}))
    broken = len(found["broken"])
    run.add(Figure(metric="broken_loads", value=broken, unit="loads", rows=found["loads"], seconds=seconds))
    unnoticed = [] if found["without_order"] else ["a race whose moves have no order was not noticed"]
    return [*found["broken"], *found["wrong"], *unnoticed]


def rollback(run: Run, folder: Path) -> None:
    """The command, with its start, on the registry that the rounds have left."""
    conf = folder / "conf.yaml"
    conf.write_text(f"artifacts: {folder / 'artifacts'}\n", encoding="utf-8")
    command = [sys.executable, "-m", "recsys.registry", "rollback", "--conf", str(conf), "--reason", "measured"]
    work = partial(subprocess.run, command, cwd=ROOT, env=clean_environment(), check=True, stdout=subprocess.DEVNULL)
    timing = Timing(tuple(once(work) for _ in range(ROLLBACKS)))
    more: dict[str, Value] = {"slowest": max(timing.seconds)}
    run.add(limited("rollback_s", timing.median, ROLLBACK_S, ROLLBACKS, sum(timing.seconds), more))


def limited(metric: str, value: float, limit: float, rows: int, seconds: float, more: dict[str, Value]) -> Figure:
    """Seconds beside the limit that they must keep."""
    return Figure(
        metric=metric,
        value=value,
        unit="s",
        rows=rows,
        seconds=seconds,
        peer="limit",
        peer_value=limit,
        ratio=value / limit,
        more=more,
    )


def hostile(run: Run, folder: Path) -> list[str]:
    """Each hostile model through the check and the load: none may be accepted, none may run anything."""
    from tests.registry.conftest import own_mlflow, packed
    from tests.registry.harm import CANARY
    from tests.registry.hostile import CASES
    from tests.registry.test_hostile import accepted

    began, wrong, executed = time.perf_counter(), list[str](), 0
    with own_mlflow():
        sound = packed(sample(folder), folder / "sound")
    for name, (harm, _) in CASES.items():
        os.environ[CANARY] = str(folder / f"{name}.ran")
        shutil.copytree(sound, folder / name / "model")
        harm(folder / name / "model")
        try:
            accepted(folder / name / "model", folder / "kept" / name)
            wrong.append(f"hostile model {name} was accepted")
        except BundleError:
            pass
        executed += (folder / f"{name}.ran").exists()
    seconds = time.perf_counter() - began
    more: dict[str, Value] = {"refused": len(CASES) - len(wrong)}
    run.add(
        Figure(metric="hostile_models", value=len(CASES), unit="models", rows=len(CASES), seconds=seconds, more=more)
    )
    run.add(Figure(metric="hostile_executed", value=executed, unit="models", rows=len(CASES), seconds=seconds))
    return wrong + ["hostile code ran"] * bool(executed)


def sample(folder: Path) -> Path:
    """A small sound bundle."""
    from recsys.registry.bundle import save
    from tests.registry.conftest import SETTINGS, encoder, ranker, snapshot

    folder.mkdir(parents=True)
    return save(folder / "b", encoder(1), ranker(1), snapshot(), SETTINGS, {}).folder


def clean_environment() -> dict[str, str]:
    """The environment without another registry's address."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "RECSYS__"))}


if __name__ == "__main__":
    sys.exit(main("promote", __doc__ or "", measure, threads=1, arguments=arguments))
