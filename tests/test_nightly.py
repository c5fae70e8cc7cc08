"""The order of the night, its restarts and its lock, with steps that do nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from recsys.config import Settings
from recsys.errors import RefusedError
from recsys.flow import NIGHT
from recsys.nightly import PASSING, options, run_nights

JOBS = ("stream", "train", "embed")
MONDAY = date(2026, 3, 2)
TUESDAY, WEDNESDAY, THURSDAY = (MONDAY + timedelta(days=n) for n in (1, 2, 3))


class Steps:
    """Remembers what was run; some jobs of some days end with another code than 0."""

    def __init__(self, codes: dict[tuple[str, date], int] | None = None) -> None:
        self.codes = codes or {}
        self.ran: list[tuple[str, date]] = []

    def __call__(self, job: str, day: date) -> int:
        self.ran.append((job, day))
        return self.codes.get((job, day), 0)


def night(folder: Path, last: date, steps: Steps, jobs: Sequence[str] = JOBS) -> int:
    return run_nights(Settings(artifacts=str(folder)), last, jobs, steps)


def kept(folder: Path, day: date) -> dict[str, int]:
    found: dict[str, int] = json.loads((folder / "nightly" / f"{day}.json").read_text())
    return found


def whole(day: date) -> list[tuple[str, date]]:
    return [(job, day) for job in JOBS]


def test_jobs_run_in_order_once_and_a_finished_night_does_nothing(tmp_path: Path) -> None:
    steps = Steps()
    assert night(tmp_path, MONDAY, steps) == 0
    assert steps.ran == whole(MONDAY)
    assert kept(tmp_path, MONDAY) == dict.fromkeys(JOBS, 0)
    assert night(tmp_path, MONDAY, steps) == 0
    assert len(steps.ran) == 3
    assert sorted(path.name for path in (tmp_path / "nightly").iterdir()) == ["2026-03-02.json", "lock"]


@pytest.mark.parametrize("code", [1, 2, 137])
def test_a_failure_ends_the_run_and_the_next_one_begins_with_it(tmp_path: Path, code: int) -> None:
    steps = Steps({("train", MONDAY): code})
    assert night(tmp_path, MONDAY, steps) == code
    assert steps.ran == [("stream", MONDAY), ("train", MONDAY)]
    assert kept(tmp_path, MONDAY) == {"stream": 0}
    again = Steps()
    assert night(tmp_path, TUESDAY, again) == 0
    assert again.ran == [("train", MONDAY), ("embed", MONDAY), *whole(TUESDAY)]


def test_a_failure_keeps_the_later_days_waiting(tmp_path: Path) -> None:
    assert night(tmp_path, MONDAY, Steps()) == 0
    steps = Steps({("stream", TUESDAY): 1})
    assert night(tmp_path, WEDNESDAY, steps) == 1
    assert steps.ran == [("stream", TUESDAY)]
    again = Steps()
    assert night(tmp_path, WEDNESDAY, again) == 0
    assert again.ran == [*whole(TUESDAY), *whole(WEDNESDAY)]


def test_missed_nights_are_caught_up_in_order_but_none_before_the_first(tmp_path: Path) -> None:
    assert night(tmp_path, MONDAY, Steps()) == 0
    steps = Steps()
    assert night(tmp_path, THURSDAY, steps) == 0
    assert steps.ran == [*whole(TUESDAY), *whole(WEDNESDAY), *whole(THURSDAY)]


def test_an_earlier_day_than_all_is_run_alone(tmp_path: Path) -> None:
    night(tmp_path, WEDNESDAY, Steps())
    steps = Steps()
    assert night(tmp_path, MONDAY, steps) == 0
    assert steps.ran == whole(MONDAY)


@pytest.mark.parametrize("code", [3, 4])
def test_no_data_and_a_refusal_let_the_night_go_on_and_are_told(tmp_path: Path, code: int) -> None:
    steps = Steps({("train", MONDAY): code})
    assert night(tmp_path, MONDAY, steps) == code
    assert steps.ran == whole(MONDAY)
    assert kept(tmp_path, MONDAY) == {"stream": 0, "train": code, "embed": 0}
    assert night(tmp_path, TUESDAY, steps) == 0  # what was told once is not told of the next day
    assert steps.ran == [*whole(MONDAY), *whole(TUESDAY)]


@pytest.mark.parametrize(
    ("codes", "worst"),
    [
        ({("stream", MONDAY): 3, ("train", MONDAY): 4}, 4),
        ({("train", MONDAY): 4, ("embed", MONDAY): 3}, 4),
        ({("stream", MONDAY): 4, ("train", MONDAY): 1}, 1),
        ({("stream", MONDAY): 4, ("train", MONDAY): 2}, 2),
        ({("stream", TUESDAY): 4, ("train", WEDNESDAY): 3}, 4),
    ],
)
def test_the_worst_code_is_a_failure_then_a_refusal_then_no_data(
    tmp_path: Path, codes: dict[tuple[str, date], int], worst: int
) -> None:
    last = max(day for _, day in codes)
    if last > MONDAY:
        assert night(tmp_path, MONDAY, Steps()) == 0
    assert night(tmp_path, last, Steps(codes)) == worst


def test_a_job_that_the_night_has_gained_is_made_up_for(tmp_path: Path) -> None:
    night(tmp_path, MONDAY, Steps())
    steps = Steps()
    assert night(tmp_path, MONDAY, steps, [*JOBS, "report"]) == 0
    assert steps.ran == [("report", MONDAY)]


def test_a_job_that_dies_is_not_done(tmp_path: Path) -> None:
    def dies(job: str, day: date) -> int:
        if job == "train":
            raise KeyError("killed")
        return 0

    with pytest.raises(KeyError, match="killed"):
        run_nights(Settings(artifacts=str(tmp_path)), MONDAY, JOBS, dies)
    steps = Steps()
    assert night(tmp_path, MONDAY, steps) == 0  # the lock went with the run that died
    assert steps.ran == [("train", MONDAY), ("embed", MONDAY)]


class Passed:
    """Gives the next of the outcomes, then 0; remembers the jobs that need not run again."""

    def __init__(self) -> None:
        self.outcomes: list[int] = []
        self.jobs: list[tuple[str, date]] = []

    def __call__(self, job: str, day: date) -> int:
        code = self.outcomes.pop(0) if self.outcomes else 0
        if code in PASSING:
            self.jobs.append((job, day))
        return code


OUTCOMES = st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 4]), max_size=8)


@hypothesis_settings(max_examples=20)
@given(runs=st.lists(st.tuples(st.integers(1, 4), OUTCOMES), min_size=1, max_size=5))
def test_whatever_fails_each_job_of_each_day_passes_once_and_in_order(
    runs: list[tuple[int, list[int]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = Settings(artifacts=str(tmp_path_factory.mktemp("nights")))
    passed, last = Passed(), MONDAY
    run_nights(settings, MONDAY, JOBS, passed)
    for days, outcomes in runs:
        last = max(last, MONDAY + timedelta(days=days))
        passed.outcomes = list(outcomes)
        run_nights(settings, last, JOBS, passed)
    passed.outcomes = []
    assert run_nights(settings, last, JOBS, passed) in PASSING
    days_ = [MONDAY + timedelta(days=n) for n in range((last - MONDAY).days + 1)]
    assert passed.jobs == [pair for day in days_ for pair in whole(day)]


def test_a_second_run_is_refused_while_the_first_one_goes_on(tmp_path: Path) -> None:
    def inner(job: str, day: date) -> int:
        with pytest.raises(RefusedError, match=rf"another nightly run holds .*lock' \(process {os.getpid()}\): wait"):
            night(tmp_path, day, Steps())
        return 0

    assert run_nights(Settings(artifacts=str(tmp_path)), MONDAY, ["stream"], inner) == 0


def test_another_process_holds_the_lock_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom datetime import date\nfrom recsys.config import Settings\n"
        "from recsys.nightly import run_nights\n"
        "def step(job, day):\n    print(job, flush=True)\n    time.sleep(120)\n"
        "run_nights(Settings(artifacts=sys.argv[1]), date(2026, 3, 2), ['stream'], step)\n"
    )
    root = Path(__file__).resolve().parent.parent
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=root, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"stream\n"
            steps = Steps()
            with pytest.raises(RefusedError, match=rf"\(process {other.pid}\)"):
                night(tmp_path, MONDAY, steps)
            assert steps.ran == []
        finally:
            other.send_signal(signal.SIGKILL)
    assert night(tmp_path, MONDAY, steps) == 0
    assert steps.ran == whole(MONDAY)


@pytest.mark.parametrize(
    ("zone", "first", "last"),
    [
        ("UTC", "2026-03-02", "2026-03-02"),
        ("Asia/Tokyo", "2026-03-01", "2026-03-02"),  # 1 March 15:00 to 2 March 15:00
        ("America/New_York", "2026-03-02", "2026-03-03"),  # 2 March 05:00 to 3 March 05:00
    ],
)
def test_a_backfill_covers_the_utc_days_of_the_business_day(zone: str, first: str, last: str) -> None:
    assert options("backfill", MONDAY, zone) == ["--from", first, "--to", last]


def test_jobs_of_a_day_get_it_and_the_others_nothing() -> None:
    told = {job: options(job, MONDAY, "UTC") for job in NIGHT if job != "backfill"}
    assert [job for job, given in told.items() if not given] == ["stream", "catalogue", "embed"]
    assert {tuple(given) for given in told.values() if given} == {("--date", "2026-03-02")}
