"""The night: jobs in order for each business day that is not done yet, restartable, one at a time.

What was done is kept in `artifacts/nightly/DATE.json`. The lock is an advisory one on a file beside it (flock): it ends
with the process that holds it, however that ends.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from recsys.config import Settings
from recsys.days import days_of, start_of
from recsys.errors import NoDataError, RefusedError
from recsys.log import event
from recsys.paths import local_folder

REFUSED, NO_DATA = RefusedError.exit_code, NoDataError.exit_code
PASSING = (0, NO_DATA, REFUSED)  # codes after which the night goes on
Step = Callable[[str, date], int]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Night:
    """What is known of one business day: the exit code of each job that is done with."""

    file: Path
    codes: Mapping[str, int]

    def with_code(self, job: str, code: int) -> Night:
        """The same night after one more job, written to its file."""
        night = Night(self.file, {**self.codes, job: code})
        draft = self.file.with_name(f".{self.file.name}")
        draft.write_text(json.dumps(night.codes, indent=1) + "\n", encoding="utf-8")
        draft.replace(self.file)
        return night


def run_nights(settings: Settings, last: date, jobs: Sequence[str], step: Step) -> int:
    """Run `step(job, day)` for each of `jobs`, for each day up to `last` that is not done; the worst exit code.

    Days before `last` are caught up from the newest one that has a file; the first night ever has no days before it. A
    job that failed ends the run, and the next run begins with it. "No data" and "refused" do not: what follows still
    works with the present champion. Raises RefusedError: another run is going on.
    """
    folder = local_folder(settings.artifacts) / "nightly"
    folder.mkdir(parents=True, exist_ok=True)
    worst = 0
    with _alone(folder / "lock"):
        for day in _wanted(folder, last, jobs):
            worst = _worse(worst, _run_night(_read(folder, day), day, jobs, step))
            if worst not in PASSING:
                break
    return worst


def options(job: str, day: date, zone: str) -> list[str]:
    """The options that a job of the night of `day` gets."""
    if job == "backfill":
        days = days_of(start_of(day, zone), start_of(day + timedelta(days=1), zone))
        return ["--from", days[0].isoformat(), "--to", days[-1].isoformat()]
    return [] if job in {"stream", "catalogue", "embed"} else ["--date", day.isoformat()]


def _run_night(night: Night, day: date, jobs: Sequence[str], step: Step) -> int:
    for number, job in enumerate(jobs, start=1):
        if job in night.codes:
            continue
        event(log, "job starts", job=job, day=day.isoformat(), number=number, of=len(jobs))
        began = time.monotonic()
        code = step(job, day)
        event(
            log, "job ended", job=job, day=day.isoformat(), exit_code=code, seconds=round(time.monotonic() - began, 1)
        )
        if code not in PASSING:
            return code
        night = night.with_code(job, code)
    return _worst(night.codes.values())


def _wanted(folder: Path, last: date, jobs: Sequence[str]) -> list[date]:
    """The days to work on, ascending: those begun and not done, and all since."""
    known = sorted(date.fromisoformat(file.stem) for file in folder.glob("????-??-??.json"))
    known = [day for day in known if day <= last]
    open_days = [day for day in known if set(jobs) - set(_read(folder, day).codes)]
    missed = known[-1] + timedelta(days=1) if known else last
    since = [missed + timedelta(days=n) for n in range((last - missed).days + 1)]
    return [*open_days, *since]


def _read(folder: Path, day: date) -> Night:
    file = folder / f"{day.isoformat()}.json"
    return Night(file, json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {})


def _worst(codes: Iterable[int]) -> int:
    worst = 0
    for code in codes:
        worst = _worse(worst, code)
    return worst


def _worse(one: int, other: int) -> int:
    """A failure is worse than a refusal, a refusal than no data."""
    order = (0, NO_DATA, REFUSED)
    return max(one, other, key=lambda code: order.index(code) if code in order else len(order))


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    with file.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise RefusedError(
                f"another nightly run holds {str(file)!r} (process {holder}): wait for its end."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
