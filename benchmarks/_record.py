"""What all benchmarks share: their command line, one line a figure, and the clean commit that each line names."""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from benchmarks._machine import PeakMemory, described_machine
from recsys.errors import ConfigError, NoDataError, RecsysError

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path("benchmarks") / "results"
SHARED = ROOT.parent / "shared" / "data"
SEED = 20171016
FEWEST = 3
Value = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured figure. `value` None: the run did not get there, and `more["note"]` says why."""

    metric: str
    value: float | None
    unit: str
    rows: int  # input rows (events, users, sequences) behind the figure
    seconds: float  # wall time of the measured work
    peer: str | None = None
    peer_value: float | None = None  # in `unit`
    ratio: float | None = None  # ours over the peer's or the limit's, from the same run
    more: dict[str, Value] = field(default_factory=dict)  # further fields: source, low, high, note


@dataclass(frozen=True)
class Timing:
    """Seconds of the same work done several times. ConfigError below three: their median would hide nothing."""

    seconds: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.seconds) < FEWEST:
            raise ConfigError(f"{len(self.seconds)} runs give no median: time at least {FEWEST}.")

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.seconds)


def once(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds that the work takes."""
    began = clock()
    work()
    return clock() - began


class Run:
    """A benchmark in progress: prints each figure at once and writes all of them when the run has ended well."""

    def __init__(
        self, name: str, memory: PeakMemory, *, seed: int, threads: int, record: bool, root: Path | None = None
    ) -> None:
        self.name, self.seed, self.threads, self.record, self.root = name, seed, threads, record, root or ROOT
        self.commit = clean_commit(self.root) if record else ""
        self.memory = memory
        self.figures: list[Figure] = []

    def add(self, figure: Figure) -> None:
        """Take a figure and print it."""
        self.figures.append(figure)
        print(sentence(self.name, figure), flush=True)

    def lines(self) -> list[dict[str, Value]]:
        """What is written: one object a figure, fields in their fixed order, then the machine and further fields."""
        date, machine = datetime.now(timezone.utc).isoformat(timespec="seconds"), described_machine()
        return [
            {
                "name": self.name,
                "metric": f.metric,
                "value": f.value,
                "unit": f.unit,
                "peer": f.peer,
                "peer_value": f.peer_value,
                "ratio": f.ratio,
                "seed": self.seed,
                "rows": f.rows,
                "threads": self.threads,
                "seconds": round(f.seconds, 3),
                "peak_mb": round(self.memory.peak_mb),
                "commit": self.commit,
                "date": date,
                "machine": machine,
                **f.more,
            }
            for f in self.figures
        ]

    def write(self) -> Path | None:
        """Append the lines; None where nothing is recorded. ConfigError where the tree has changed during the run."""
        print(f"{self.name}: peak memory of all processes {self.memory.peak_mb:,.0f} MB", flush=True)
        if not self.record:
            return None
        if (now := clean_commit(self.root)) != self.commit:
            raise ConfigError(f"the commit was {self.commit} at the start and is {now} now: nothing was recorded.")
        text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in self.lines())  # all lines or none
        path = self.root / RESULTS / f"{self.name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
        return path


def sentence(name: str, f: Figure) -> str:
    """A figure as one line of text."""
    parts = [f"{name} {f.metric}: {number(f.value)} {f.unit}"]
    if f.peer is not None:
        parts.append(f"{f.peer} {number(f.peer_value)}")
    if f.ratio is not None:
        parts.append(f"ratio {f.ratio:.3f}")
    parts += [f"{key} {number(value) if isinstance(value, float) else value}" for key, value in f.more.items()]
    return "; ".join(parts)


def number(value: float | None) -> str:
    """A number with about four significant digits."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:.4g}"


def clean_commit(root: Path) -> str:
    """HEAD of a tree without uncommitted changes, results apart. ConfigError: changes, or no git repository."""
    hint = "Commit first, or pass --no-record to measure without recording."
    changed = _git(root, "status", "--porcelain", "--untracked-files=all", "--", ".", f":!{RESULTS.as_posix()}")
    if changed is None or (head := _git(root, "rev-parse", "HEAD")) is None:
        raise ConfigError(f"{str(root)!r} is no git repository with a commit, so no figure can name one. {hint}")
    if changed:
        found = ", ".join(line[3:] for line in changed.splitlines()[:5])
        raise ConfigError(f"the tree has {len(changed.splitlines())} uncommitted changes ({found}). {hint}")
    return head


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.rstrip("\n") if done.returncode == 0 else None


class AbsentError(NoDataError):
    """A data set that this machine does not have: the benchmark is skipped."""


def shared(name: str) -> Path:
    """A data set beside the clone. AbsentError where it is absent."""
    path = SHARED / name
    if not path.is_dir():
        raise AbsentError(f"../shared/data/{name} is absent: the data set lies beside the clone, not in it.")
    return path


def parser_of(name: str, about: str) -> argparse.ArgumentParser:
    """The command line that all benchmarks have."""
    made = argparse.ArgumentParser(prog=f"benchmarks.{name}", description=about)
    made.add_argument("--no-record", action="store_true", help="print only; also from a tree with changes")
    made.add_argument("--quick", action="store_true", help="small sizes, to try the benchmark; implies --no-record")
    made.add_argument("--seed", type=int, default=SEED, help=f"default {SEED}")
    return made


def main(
    name: str,
    about: str,
    measure: Callable[[Run, argparse.Namespace], None],
    *,
    threads: int = 1,
    arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
    argv: Sequence[str] | None = None,
) -> int:
    """Run a benchmark from its command line; returns the exit code: 0 done, 2 refused to record, else the error's.

    Where its data is absent, it says so and is done: `make bench NAME=all` goes on.
    """
    parser = parser_of(name, about)
    arguments(parser)
    asked = parser.parse_args(argv)
    try:
        with _cleared_on_sigterm(), PeakMemory() as memory:
            run = Run(name, memory, seed=asked.seed, threads=threads, record=not (asked.no_record or asked.quick))
            measure(run, asked)
            path = run.write()
    except AbsentError as error:
        print(f"{name}: skipped: {error}", file=sys.stderr)
        return 0
    except RecsysError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    if path:
        print(f"{name}: {len(run.figures)} lines appended to {path.relative_to(ROOT)}")
    return 0


@contextmanager
def _cleared_on_sigterm() -> Iterator[None]:
    """SIGTERM becomes SystemExit, so that processes and folders that the run has made go as after an error."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
