"""The registry from a shell, in this process."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from recsys.config import Settings
from recsys.registry.__main__ import main
from recsys.registry.bundle import Bundle
from recsys.registry.client import champion, version_of
from recsys.registry.promote import register
from recsys.registry.tracking import run
from tests.registry.conftest import SNAPSHOT_AT, MakeBundle

Say = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def say(store: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Say]:
    """`say("rollback", ...)` gives exit code, parsed standard output and standard error."""
    logger = logging.getLogger("recsys")
    before = logger.handlers[:], logger.level, logger.propagate
    (tmp_path / "conf.yaml").write_text(yaml.safe_dump({"artifacts": store.artifacts}))

    def call(command: str, *words: str) -> tuple[int, Any, str]:
        capsys.readouterr()
        code = main([command, "--conf", str(tmp_path / "conf.yaml"), *words])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else None, said.err

    yield call
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.fixture
def two(store: Settings, make_bundle: MakeBundle, tmp_path: Path) -> list[Bundle]:
    """Two registered bundles, none of them champion."""
    made = [make_bundle(tmp_path / f"b{seed}", seed) for seed in (1, 2)]
    with run(store, "bundle", "test", {}, {}):
        for bundle in made:
            register(bundle.folder, store.registry)
    return made


def test_promote_verify_load_and_go_back(two: list[Bundle], store: Settings, say: Say, tmp_path: Path) -> None:
    assert say("promote", "1", "--reason", "first")[:2] == (0, {"version": "1", "previous": None, "bundle": two[0].id})
    assert say("promote", "2", "--reason", "fix")[:2] == (0, {"version": "2", "previous": "1", "bundle": two[1].id})
    kept = version_of(store.registry, "2").tags
    assert (kept["decision.outcome"], kept["decision.previous"]) == ("promoted", "1")
    assert kept["decision.reason"] == "by hand, without a comparison: fix"

    code, answer, _ = say("load")
    assert (code, answer["version"], answer["behind"], len(answer["answers"])) == (0, "2", None, 2)
    assert [len(row["items"]) for row in answer["answers"]] == [3, 3]
    (tmp_path / "ask.json").write_text(json.dumps([{"recent": [], "n": 1, "at": SNAPSHOT_AT}]))
    assert len(say("load", "--ask", str(tmp_path / "ask.json"))[1]["answers"][0]["items"]) == 1

    into = str(tmp_path / "copy")
    whole = {"version": "2", "bundle": two[1].id, "verified": True, "folder": into}
    for _ in range(2):  # again: the copy is there
        assert say("verify", "--into", into)[:2] == (0, whole)
    assert say("verify", "models:/recsys/1")[1]["bundle"] == two[0].id
    assert say("verify", "models:/recsys@champion")[1]["version"] == "2"
    assert say("verify", into)[1] == {"version": None, "bundle": two[1].id, "verified": True}
    assert say("verify", str(two[0].folder))[1]["bundle"] == two[0].id

    code, answer, _ = say("rollback", "--reason", "odd lists", "--by", "night shift")
    assert (code, answer["version"], answer["bundle"]) == (0, "1", two[0].id)
    assert answer["reason"] == "rolled back from version 2 by night shift: odd lists"
    present = champion(store.registry)
    assert present is not None
    assert str(present.version) == "1"
    code, answer, said = say("rollback")
    assert (code, answer) == (4, None)
    assert said == "RefusedError: Version 1 was the first 'champion': there is none to go back to.\n"


def test_faults_are_sentences_with_an_exit_code(two: list[Bundle], say: Say, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").touch()
    for words, code, says in (
        (("load",), 3, "has no 'champion' yet"),
        (("verify",), 3, "has no 'champion'"),
        (("verify", "models:/recsys/9"), 1, "Version 9 of 'recsys' is not in the registry"),
        (("verify", "models:/recsys"), 2, "names no model"),
        (("verify", str(tmp_path / "absent")), 1, "cannot be read"),
        (("verify", "models:/recsys/1", "--into", str(tmp_path / "mine")), 2, "name an absent folder"),
        (("promote", "9", "--reason", "x"), 1, "is not in the registry"),
        (("promote", "1", "--reason", "x", "--ask", str(tmp_path / "absent")), 2, "is no JSON file"),
        (("prune", "--keep", "0"), 2, "at least 1 version stays"),
        (("rollback",), 4, "no 'champion' to roll back from"),
    ):
        found, answer, said = say(*words)
        assert (found, answer) == (code, None), words
        assert says in said
        assert said.count("\n") == 1
    assert (tmp_path / "mine" / "precious").exists()
