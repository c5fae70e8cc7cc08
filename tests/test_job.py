"""What all jobs share: command line, exit codes, the plan, resolved settings. No Spark starts here."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from pyspark.errors import PySparkException

from recsys.config import load
from recsys.days import yesterday
from recsys.errors import ConfigError, NoDataError, RecsysError, RefusedError
from recsys.job import Context, Job, day_argument, resolved, run, run_inside
from recsys.pseudonyms import KEY_VARIABLE

MAPPING = """
name: shop
format: {type: json}
id: {column: id}
time: {column: at}
behaviour: {constant: share}
item: {column: item}
behaviours: {share: {weight: 2}}
"""


def own_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--day", help="which day")


JOB = Job(
    name="sort",
    about="Sort things.\n\nAt length.",
    reads=("events",),
    writes=("items", "batches"),
    arguments=own_option,
)


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """A log that writes to this test's standard error, and afterwards what was there before."""
    logger = logging.getLogger("recsys")
    before = logger.handlers[:], logger.level, logger.propagate
    logger.handlers[:] = []
    yield
    logger.handlers[:], logger.level, logger.propagate = before


def nothing(context: Context) -> None:
    pass


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A settings file with a mapping and a key of its own."""
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    (tmp_path / "shop.yaml").write_text(MAPPING)
    text = f"mapping: {tmp_path}/shop.yaml\npseudonym_key_file: {tmp_path}/key\nwarehouse: here\nsource: in\n"
    path = tmp_path / "conf.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("error", "code"),
    [(None, 0), (RecsysError("x"), 1), (ConfigError("x"), 2), (NoDataError("x"), 3), (RefusedError("x"), 4)],
)
def test_exit_codes(conf: str, error: RecsysError | None, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def main(context: Context) -> None:
        if error:
            raise error

    assert run(JOB, main, ["--conf", conf]) == code
    line = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (line["event"], line["job"]) == ("x" if error else "done", "sort")
    assert "trace" not in line


def test_a_job_may_name_its_own_code(conf: str) -> None:
    assert run(JOB, lambda context: 4, ["--conf", conf]) == 4


def test_what_fails_in_spark_is_a_sentence_with_its_trace(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    def main(context: Context) -> None:
        raise PySparkException("a column is gone\nand more")

    assert run(JOB, main, ["--conf", conf]) == 1
    line = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert line["event"] == "Spark failed in sort: a column is gone"
    assert "PySparkException" in line["trace"]


def test_a_job_inside_another_has_its_settings_and_options_of_its_own(conf: str) -> None:
    seen: list[tuple[str, int, str | None]] = []

    def inner(context: Context) -> None:
        seen.append((context.job.name, context.settings.seed, context.arguments.day))

    def outer(context: Context) -> int:
        return run_inside(JOB, inner, context, ["--day", "monday"])

    other = Job(name="outer", about="Call.", reads=(), writes=())
    assert run(other, outer, ["--conf", conf, "--set", "seed=5"]) == 0
    assert seen == [("sort", 5, "monday")]


def test_the_day_is_the_one_asked_for_else_yesterday(conf: str) -> None:
    seen: list[date] = []
    job = Job(name="d", about="D.", reads=(), writes=(), arguments=lambda parser: day_argument(parser, "x"))
    for more in ([], ["--date", "2026-03-01"]):
        assert run(job, lambda context: seen.append(context.day), ["--conf", conf, *more]) == 0
    assert seen[1] == date(2026, 3, 1)
    assert yesterday("UTC") - seen[0] <= timedelta(days=1)


def test_an_error_without_a_name_is_not_hidden(conf: str) -> None:
    def main(context: Context) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(JOB, main, ["--conf", conf])


def test_wrong_settings_and_a_wrong_command_line_are_code_2(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(JOB, nothing, ["--conf", conf, "--set", "topn.m=1"]) == 2
    assert "topn.m is not a known key" in capsys.readouterr().err
    assert run(JOB, nothing, ["--conf", conf, "--set", "mapping=nowhere.yaml"]) == 2
    with pytest.raises(SystemExit) as stopped:
        run(JOB, nothing, ["--no-such-option"])
    assert stopped.value.code == 2


def test_a_dry_run_shows_the_plan_and_does_nothing(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    def main(context: Context) -> None:
        pytest.fail("it ran")

    assert run(JOB, main, ["--conf", conf, "--dry-run", "--day", "monday"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sort: Sort things."
    assert [" ".join(line.split()) for line in lines[1:5]] == [
        "reads events (here/events)",
        "writes items (here/items)",
        "writes batches (here/batches)",
        "option day = monday",
    ]
    assert lines[5].endswith("shop.yaml (shop), source in")


def test_help_explains(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(JOB, nothing, ["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for part in ("Sort things.", "reads: events", "writes: items, batches", "--dry-run", "--day", "--set KEY=VALUE"):
        assert part in text
    assert "defaults < --conf files in order < RECSYS__section__key < --set" in text
    assert "3 no data, 4 refused" in text


def test_the_job_sees_the_mappings_behaviours_and_a_key(conf: str, tmp_path: Path) -> None:
    seen: list[Context] = []
    assert run(JOB, seen.append, ["--conf", conf, "--set", "seed=5"]) == 0
    context = seen[0]
    assert context.settings.seed == 5
    assert list(context.settings.behaviours)[-1] == "share"
    assert context.settings.pseudonym_key_file == f"{tmp_path}/key"
    assert (tmp_path / "key").is_file()
    assert context.mapping.name == "shop"


def test_resolving_twice_changes_nothing(conf: str) -> None:
    once = resolved(load([conf], env={}))
    assert resolved(once) == once
