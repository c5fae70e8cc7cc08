"""The lines of a benchmark, and the rule that each names a clean commit."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from benchmarks import _record
from benchmarks._machine import PeakMemory
from benchmarks._record import AbsentError, Figure, Run, Timing, clean_commit, main, number, once, sentence, shared
from recsys.errors import ConfigError, NoDataError

FIELDS = (
    "name", "metric", "value", "unit", "peer", "peer_value", "ratio", "seed", "rows", "threads", "seconds", "peak_mb",
    "commit", "date", "machine",
)  # fmt: skip
FIGURE = Figure(metric="speed", value=1500.0, unit="events/s", rows=3000, seconds=2.0)


def git(root: Path, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", root, *who, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one commit."""
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "one")
    return tmp_path


@pytest.fixture
def here(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, as the checkout that `main` measures."""
    monkeypatch.setattr(_record, "ROOT", tree)
    return tree


def written(tree: Path) -> list[dict[str, object]]:
    text = (tree / "benchmarks" / "results" / "x.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def run(tree: Path, record: bool = True) -> Run:
    return Run("x", PeakMemory(), seed=7, threads=2, record=record, root=tree)


def test_a_clean_tree_has_a_commit(tree: Path) -> None:
    assert clean_commit(tree) == git(tree, "rev-parse", "HEAD")


@pytest.mark.parametrize("name", ["code.py", "new.py", "folder/new.py"])
def test_a_change_of_any_kind_is_refused(tree: Path, name: str) -> None:
    (tree / name).parent.mkdir(exist_ok=True)
    (tree / name).write_text("2")
    with pytest.raises(ConfigError, match=rf"1 uncommitted changes \({name}\)\. Commit first, or pass --no-record"):
        clean_commit(tree)


def test_a_staged_change_is_refused(tree: Path) -> None:
    (tree / "code.py").write_text("2")
    git(tree, "add", ".")
    with pytest.raises(ConfigError, match="1 uncommitted changes"):
        clean_commit(tree)


def test_results_of_the_run_before_are_no_change(tree: Path) -> None:
    first = run(tree)
    first.add(FIGURE)
    first.write()
    second = run(tree)
    second.add(FIGURE)
    second.write()
    assert len(written(tree)) == 2


def test_what_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no git repository with a commit"):
        clean_commit(tmp_path)


def test_a_line_has_the_agreed_fields_in_their_order(tree: Path) -> None:
    measured = run(tree)
    measured.add(FIGURE)
    measured.add(
        Figure(
            metric="recall@20",
            value=None,
            unit="share",
            rows=5,
            seconds=0.1234567,
            peer="popularity",
            peer_value=0.25,
            more={"source": "globo_clicks", "low": 0.1},
        )
    )
    assert measured.write() == tree / "benchmarks" / "results" / "x.jsonl"
    one, two = written(tree)
    assert tuple(one) == FIELDS
    assert tuple(two) == (*FIELDS, "source", "low")
    expected = {"name": "x", "metric": "speed", "value": 1500.0, "unit": "events/s", "peer": None, "peer_value": None}
    expected |= {"ratio": None, "seed": 7, "rows": 3000, "threads": 2, "seconds": 2.0}
    assert one.items() >= (expected | {"commit": git(tree, "rev-parse", "HEAD")}).items()
    assert (two["value"], two["peer_value"], two["seconds"], two["source"]) == (None, 0.25, 0.123, "globo_clicks")
    assert one["date"] == two["date"]


def test_a_commit_during_the_run_records_nothing(tree: Path) -> None:
    measured = run(tree)
    measured.add(FIGURE)
    git(tree, "commit", "-q", "--allow-empty", "-m", "two")
    with pytest.raises(ConfigError, match="nothing was recorded"):
        measured.write()
    assert not (tree / "benchmarks").exists()


def test_a_change_during_the_run_records_nothing(tree: Path) -> None:
    measured = run(tree)
    (tree / "code.py").write_text("2")
    with pytest.raises(ConfigError, match="1 uncommitted changes"):
        measured.write()
    assert not (tree / "benchmarks").exists()


def test_what_is_no_number_is_not_recorded(tree: Path) -> None:
    measured = run(tree)
    measured.add(FIGURE)
    measured.add(Figure(metric="speed", value=float("nan"), unit="s", rows=1, seconds=1))
    with pytest.raises(ValueError, match="Out of range float"):
        measured.write()
    assert not (tree / "benchmarks").exists()


def measure(run: Run, asked: argparse.Namespace) -> None:
    run.add(FIGURE)


def test_main_records_from_a_clean_tree(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("x", "about", measure, argv=["--seed", "3"]) == 0
    assert written(here)[0]["seed"] == 3
    assert "x speed: 1,500 events/s" in capsys.readouterr().out


def test_main_refuses_a_changed_tree_before_it_measures(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "code.py").write_text("2")
    assert main("x", "about", lambda run, asked: pytest.fail("measured"), argv=[]) == 2
    assert "1 uncommitted changes (code.py)" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--no-record", "--quick"])
def test_main_only_prints_where_it_is_told_to(here: Path, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "code.py").write_text("2")
    assert main("x", "about", measure, argv=[flag]) == 0
    assert "x speed: 1,500 events/s" in capsys.readouterr().out
    assert not (here / "benchmarks").exists()


def test_absent_data_is_a_reason_and_no_failure(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def absent(run: Run, asked: argparse.Namespace) -> None:
        shared("no_such_data")

    assert main("x", "about", absent, argv=[]) == 0
    assert "skipped: ../shared/data/no_such_data is absent" in capsys.readouterr().err
    with pytest.raises(AbsentError):
        shared("no_such_data")


def test_other_missing_data_is_a_failure(here: Path) -> None:
    def empty(run: Run, asked: argparse.Namespace) -> None:
        raise NoDataError("nothing")

    assert main("x", "about", empty, argv=[]) == 3


def test_sigterm_ends_a_run_as_an_error_would(here: Path) -> None:
    cleared, before = list[str](), signal.getsignal(signal.SIGTERM)

    def ended(run: Run, asked: argparse.Namespace) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            cleared.append("what it started")

    with pytest.raises(SystemExit) as found:
        main("x", "about", ended, argv=[])
    assert (found.value.code, cleared) == (143, ["what it started"])
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_median_needs_three() -> None:
    assert Timing((5.0, 1.0, 2.0)).median == 2.0
    assert Timing((1.0, 4.0, 2.0, 8.0)).median == 3.0
    with pytest.raises(ConfigError, match="2 runs give no median: time at least 3"):
        Timing((1.0, 2.0))


def test_once_takes_the_clock_before_and_after() -> None:
    ticks, order = iter([10.0, 12.5]), []

    def clock() -> float:
        order.append("clock")
        return next(ticks)

    assert once(lambda: order.append("work"), clock) == 2.5
    assert order == ["clock", "work", "clock"]


def test_a_sentence_names_the_peer_and_the_ratio() -> None:
    figure = Figure(
        metric="speed", value=0.51239, unit="s", rows=1, seconds=1, peer="limit", peer_value=2.0, ratio=0.2562,
        more={"note": "why", "low": 0.123456},
    )  # fmt: skip
    assert sentence("x", figure) == "x speed: 0.5124 s; limit 2; ratio 0.256; note why; low 0.1235"


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (12345.6, "12,346"), (3.0, "3"), (0.07912, "0.07912")])
def test_numbers_have_four_digits(value: float | None, text: str) -> None:
    assert number(value) == text
