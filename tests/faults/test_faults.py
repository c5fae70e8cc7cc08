"""A few rounds of each kind; `make faults` runs hundreds. Without the lock, the suite notices."""

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
FEW = ("kill committing", "race", "down verified")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the suite finds in a process of its own, which forks the rounds."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.faults.suite", "--folder", str(tmp_path_factory.mktemp("faults") / "f")]
    few = [word for name in FEW for word in ("--only", name)]
    done = subprocess.run(
        [*command, "--rounds", "3", "--cold", "0", *few], cwd=ROOT, env=own, capture_output=True, text=True, check=False
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
def test_a_race_without_the_lock_is_noticed(found: dict[str, Any]) -> None:
    assert any("took over from" in text for text in found["without_lock"])


def wrong_after(tmp_path: Path, alias: str, previous: str, outcome: str, lines: list[str]) -> list[str]:
    """What the check says of a round that promoted version 2, champion before: 1."""
    world = World(tmp_path)
    (tmp_path / "artifacts").mkdir()
    with world.database() as opened:
        opened.execute("CREATE TABLE registered_model_aliases (version)")
        opened.execute("CREATE TABLE model_version_tags (version, key, value)")
        opened.execute("INSERT INTO registered_model_aliases VALUES (?)", (alias,))
        told = [("2", "decision.previous", previous), ("2", "decision.outcome", outcome)]
        opened.executemany("INSERT INTO model_version_tags VALUES (?, ?, ?)", told)
    for line in ["a answered 2", "a end create_model_version 2", *lines]:
        world.note(*line.split())
    act = Act(world=str(tmp_path), name="a", do="promote", phase="compared", fault="champion_missing")
    return faults_of(world, Round(name="x", number=0, cold=False, acts=[act], pids=[1], codes=[0], before="1"))[0]


@pytest.mark.parametrize(
    ("alias", "previous", "outcome", "says"),
    [
        ("2", "1", "promoted", None),
        ("2", "0", "promoted", "version 2 took over from 1, its record says 0"),
        ("3", "1", "promoted", "version 3 is champion and was never verified"),
        ("2", "1", "promoting", "version 2 is promoting for good"),
        ("1", "1", "promoted", "the alias is at 1, was last moved to 2"),
    ],
)
def test_the_check_finds_what_is_wrong(
    tmp_path: Path, alias: str, previous: str, outcome: str, says: str | None
) -> None:
    moved = ["a fault compared", "a begin set_registered_model_alias champion 2"]
    found = wrong_after(tmp_path, alias, previous, outcome, [*moved, "a end set_registered_model_alias champion 2"])
    assert (found == []) if says is None else any(says in text for text in found), found
