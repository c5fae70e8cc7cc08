"""Every job's command line: help, plan, contract, and what a person is told when something is wrong."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from jobs import (
    backfill,
    catalogue,
    demo,
    embed,
    evaluate,
    fold,
    nightly,
    online,
    parity,
    rebuild,
    recommend,
    simulate,
    stream,
    train_encoder,
    train_ranker,
)
from recsys import flow
from recsys.job import run
from tests.jobs.conftest import ROOT
from tests.nights.night import progress_log

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

STAGES = (stream, catalogue, backfill, parity, fold, train_encoder, train_ranker, embed, recommend, evaluate)
MODULES = (*STAGES, nightly, online, rebuild)
OPTIONS = {"backfill": ["--from", "2026-03-01", "--to", "2026-03-02"]}
OWN = {
    "stream": ("--trigger",),
    "online": ("--trigger", "--rebuild"),
    "rebuild": ("--anew",),
    "backfill": ("--from", "--to"),
    "train_encoder": ("--date", "--full"),
    "train_ranker": ("--date", "--full"),
    "recommend": ("--date",),
    "evaluate": ("--date",),
    "fold": ("--date",),
    "nightly": ("--date",),
}


def name(module: ModuleType) -> str:
    return module.__name__.removeprefix("jobs.")


every_job = pytest.mark.parametrize("module", MODULES, ids=name)


def call(module: ModuleType, conf: str, *more: str) -> int:
    return run(module.JOB, module.main, ["--conf", conf, *OPTIONS.get(name(module), []), *more])


def test_no_job_is_forgotten() -> None:
    files = {path.stem for path in (ROOT / "jobs").glob("*.py")} - {"__init__"}
    assert files == {name(module) for module in (*MODULES, simulate, demo)}
    assert tuple(nightly.JOBS) == flow.NIGHT
    assert [nightly.JOBS[stage] for stage in flow.NIGHT] == list(STAGES)


@every_job
def test_help_explains_the_contract_the_settings_and_the_exit_codes(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert module.__file__ is not None
    monkeypatch.setattr(sys, "argv", [module.__file__, "--help"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(module.__file__, run_name="__main__")
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    about = module.__doc__ or ""
    assert about.strip() in text
    assert f"reads: {', '.join(module.JOB.reads)}\nwrites: {', '.join(module.JOB.writes)}\n" in text
    assert "settings: defaults < --conf files in order < RECSYS__section__key < --set; spark-submit's own" in text
    assert "exit codes: 0 done, 1 failed, 2 settings or command line, 3 no data, 4 refused" in text
    for option in ("--conf FILE", "--set KEY=VALUE", "--dry-run", *OWN.get(name(module), ())):
        assert option in text, option


@pytest.mark.parametrize("module", ["simulate", "demo"])
def test_help_of_the_jobs_around_the_pipeline(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(ROOT / "jobs" / f"{module}.py"), run_name="__main__")
    assert stopped.value.code == 0
    assert "--out OUT" in capsys.readouterr().out


def test_a_job_runs_as_a_module_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jobs.nightly", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Run the night's jobs in order" in done.stdout


@every_job
def test_a_dry_run_shows_what_would_be_read_and_written_and_touches_nothing(
    module: ModuleType, conf: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(module, conf, "--dry-run") == 0
    folder = Path(conf).parent
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == f"{name(module)}: {(module.__doc__ or '').strip().splitlines()[0]}"
    assert [line for line in lines if line.startswith("reads ")] == [
        f"reads {store} ({folder}/tables/{store})" for store in module.JOB.reads
    ]
    assert [line for line in lines if line.startswith("writes ")] == [
        f"writes {store} ({folder}/tables/{store})" for store in module.JOB.writes
    ]
    assert lines[-1] == f"mapping {ROOT}/conf/sources/simulate.yaml (simulate), source {folder}/shop/events"
    assert {path.name for path in folder.iterdir()} == {"conf.yaml", "key"}


@pytest.mark.parametrize("module", STAGES, ids=name)
def test_a_stage_declares_what_the_flow_says(module: ModuleType) -> None:
    stage = flow.BY_NAME[name(module)]
    assert (module.JOB.name, module.JOB.reads, module.JOB.writes) == (stage.name, stage.reads, stage.writes)


def test_the_night_declares_what_its_stages_do() -> None:
    assert set(nightly.JOB.reads) == {store for stage in flow.STAGES for store in stage.reads}
    assert set(nightly.JOB.writes) == {store for stage in flow.STAGES for store in stage.writes}
    assert len(set(nightly.JOB.reads)) == len(nightly.JOB.reads)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of the log, beside progress, which is an error without a trace."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    (line,) = (line for line in captured.err.splitlines() if line.startswith("{"))
    fields = json.loads(line)
    assert fields["level"] == "ERROR"
    assert "trace" not in fields
    return str(fields["event"])


@every_job
@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            ["--set", "topn.m=3"],
            "--set topn.m=3: topn.m is not a known key. Valid: active_days, candidates, exact_items, n, popular",
        ),
        (["--set", "ranker.epochs=many"], "--set ranker.epochs=many: ranker.epochs is 'many': "),
        (["--conf", "nowhere.yaml"], "conf file 'nowhere.yaml' does not exist (working folder "),
        (["--set", "mapping=nowhere.yaml"], "nowhere.yaml"),
    ],
    ids=["key", "value", "conf", "mapping"],
)
def test_wrong_settings_are_code_2_and_one_sentence(
    module: ModuleType, conf: str, capsys: pytest.CaptureFixture[str], more: list[str], says: str
) -> None:
    assert call(module, conf, *more) == 2
    assert says in said(capsys)
    assert not (Path(conf).parent / "tables").exists()


@pytest.mark.parametrize("options", [["--from", "2026-03-02"], ["--from", "march", "--to", "2026-03-02"]])
def test_a_wrong_command_line_is_code_2(conf: str, options: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(backfill.JOB, backfill.main, ["--conf", conf, *options])
    assert stopped.value.code == 2


def test_a_range_the_wrong_way_round_is_code_2(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(backfill.JOB, backfill.main, ["--conf", conf, "--from", "2026-03-02", "--to", "2026-03-01"]) == 2
    assert said(capsys) == "--to 2026-03-01 lies before --from 2026-03-02: give the earlier day first."


@pytest.mark.parametrize("module", [embed, recommend, evaluate], ids=name)
def test_without_a_champion_there_is_no_data(
    module: ModuleType, conf: str, empty_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(module, conf, "--set", f"artifacts={empty_store}") == 3
    assert "has no 'champion' yet: run jobs/train_encoder.py and jobs/train_ranker.py." in said(capsys)


def test_without_an_encoder_the_ranker_has_no_data(
    spark: SparkSession, conf: str, empty_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(train_ranker, conf, "--date", "2026-03-01", "--set", f"artifacts={empty_store}") == 3
    assert "no encoder for --date 2026-03-01: run jobs/train_encoder.py first. Found: none." in said(capsys)


def test_without_profiles_there_is_nothing_to_rebuild(
    spark: SparkSession, conf: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_log(spark):
        assert call(rebuild, conf) == 3
    assert "'user_profiles' has no rows yet: run jobs/stream.py, with any settings." in said(capsys)


@pytest.mark.parametrize("module", [catalogue, backfill, train_encoder], ids=name)
def test_without_events_there_is_no_data(
    spark: SparkSession, module: ModuleType, conf: str, empty_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(module, conf, "--set", f"artifacts={empty_store}") == 3
    assert "no batch was ever committed under " in said(capsys)
