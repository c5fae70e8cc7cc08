"""A few rounds of each kind; `make faults` runs hundreds. Without an order of the moves, the suite notices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.act import Act
from tests.faults.check import Round, faults_of
from tests.faults.world import World

ROOT = Path(__file__).resolve().parents[2]
FEW = ("kill committing", "race", "race with rollback", "down marked")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the suite finds in a process of its own, which forks the rounds."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.faults.suite", "--folder", str(tmp_path_factory.mktemp("faults") / "f")]
    few = [word for name in FEW for word in ("--only", name)]
    done = subprocess.run(
        [*command, "--rounds", "4", "--cold", "0", *few], cwd=ROOT, env=own, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.faults
def test_readers_always_load_a_complete_verified_champion(found: dict[str, Any]) -> None:
    assert (found["broken"], found["wrong"]) == ([], [])
    assert found["phases"] == dict.fromkeys(FEW, 1)
    assert found["loads"] > found["fresh"] > 0


@pytest.mark.faults
def test_a_race_whose_moves_have_no_order_is_noticed(found: dict[str, Any]) -> None:
    assert any("took over from" in text for text in found["without_order"])


def wrong_after(tmp_path: Path, alias: str, previous: str, outcome: str, done: bool) -> list[str]:
    """What the check says of a round that promoted version 2, champion before: 1."""
    world = World(tmp_path)
    (tmp_path / "artifacts").mkdir()
    with world.database() as opened:
        opened.execute("CREATE TABLE registered_model_aliases (version)")
        opened.execute("CREATE TABLE model_version_tags (version, key, value)")
        opened.execute("CREATE TABLE registered_model_tags (name, key, value)")
        opened.execute("INSERT INTO registered_model_aliases VALUES (?)", (alias,))
        opened.execute("INSERT INTO model_version_tags VALUES ('2', 'decision.outcome', ?)", (outcome,))
        told = [("to", "2"), ("told.2.decision.previous", previous), *[("done", "yes")] * done]
        rows = [("x-move-1", "to", "1"), ("x-move-1", "done", "yes"), *(("x-move-2", *pair) for pair in told)]
        opened.executemany("INSERT INTO registered_model_tags VALUES (?, ?, ?)", rows)
    for line in ("a answered 1", "a answered 2", "a end create_model_version 2", "a fault compared"):
        world.note(*line.split())
    act = Act(world=str(tmp_path), name="a", do="promote", phase="compared", fault="champion_missing")
    one = Round(name="x", number=0, cold=False, acts=[act], pids=[1], codes=[0], moves=1, before="1")
    return faults_of(world, one)[0]


@pytest.mark.parametrize(
    ("alias", "previous", "outcome", "done", "says"),
    [
        ("2", "1", "promoted", True, None),
        ("2", "0", "promoted", True, "version 2 took over from 1, its record says 0"),
        ("3", "1", "promoted", True, "version 3 is champion and was never verified"),
        ("2", "1", "promoted", False, "the move to version 2 is half done for good"),
        ("2", "1", "refused", True, "version 2 is champion and says 'refused'"),
        ("1", "1", "promoted", True, "the alias is at 1, was last moved to 2"),
    ],
)
def test_the_check_finds_what_is_wrong(
    tmp_path: Path, alias: str, previous: str, outcome: str, done: bool, says: str | None
) -> None:
    found = wrong_after(tmp_path, alias, previous, outcome, done)
    assert (found == []) if says is None else any(says in text for text in found), found
