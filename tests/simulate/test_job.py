import json
from pathlib import Path

import pytest

from jobs.simulate import main
from tests.simulate.logs import read_lines

SMALL = ["--users", "20", "--items", "100", "--set", "events_per_day=200", "--set", "bots=1"]


def test_days_are_written_with_catalogue_and_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), "--days", "1..2", *SMALL]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["catalogue.jsonl.gz", "events", "truth"]
    assert len(list((tmp_path / "events").iterdir())) == 8
    settings = json.loads((tmp_path / "truth" / "shop.json").read_text())
    assert (settings["users"], settings["items"], settings["events_per_day"]) == (20, 100, 200)
    lines = len(read_lines(tmp_path))
    assert f"simulate: {lines} of 400 events" in capsys.readouterr().err
    assert main(["--out", str(tmp_path), "--days", "3", *SMALL]) == 0  # the next day joins the others
    assert len(list((tmp_path / "events").iterdir())) == 12


def test_a_dry_run_shows_the_settings_and_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path / "new"), "--days", "2..5", "--seed", "3", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "days 2 to 5" in shown
    assert '"seed": 3' in shown
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--days", "5..1"], 2, "--days '5..1' is no range"),
        (["--days", "1", "--rate", "0"], 2, "--rate 0.0 is no pace"),
        (["--days", "1", "--users", "2"], 2, "users is '2'"),
        (["--days", "1", "--set", "userz=20"], 2, "Did you mean 'users'"),
    ],
)
def test_faults_of_the_command_line_are_told_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, says: str
) -> None:
    assert main(["--out", str(tmp_path / "new"), *arguments]) == code
    assert says in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_another_shop_in_the_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), "--days", "1", *SMALL]) == 0
    assert main(["--out", str(tmp_path), "--days", "2", *SMALL, "--seed", "4"]) == 4
    assert "holds another shop: seed 20171016 is now 4" in capsys.readouterr().err


def test_a_rate_emits_instead(tmp_path: Path) -> None:
    assert main(["--out", str(tmp_path), "--days", "1", *SMALL, "--rate", "1e6"]) == 0
    assert [path.name for path in (tmp_path / "truth").iterdir() if path.is_dir()] == ["load"]
    (counts,) = (json.loads(path.read_text()) for path in (tmp_path / "truth" / "load").iterdir())
    assert counts["lines"] == len(read_lines(tmp_path)) > 100
