"""The alias moves from where it was, and goes back; old versions leave."""

from __future__ import annotations

import getpass
from pathlib import Path

import mlflow
import pytest

from recsys.config import Settings
from recsys.errors import BundleError, RefusedError, RegistryError
from recsys.registry import alias, kept
from recsys.registry.alias import move, rollback
from recsys.registry.client import champion, version_of
from recsys.registry.promote import register
from recsys.registry.retention import prune
from recsys.registry.tracking import run
from tests.registry.conftest import MakeBundle, decided


def outcomes(store: Settings) -> dict[str, str | None]:
    versions = mlflow.MlflowClient().search_model_versions(f"name = '{store.registry.model}'")
    return {str(v.version): v.tags.get("decision.outcome") for v in versions}


def now(store: Settings) -> str | None:
    found = champion(store.registry)
    return None if found is None else str(found.version)


def test_rollback_goes_back_version_by_version_and_says_who_and_why(
    three: list[str], store: Settings, tmp_path: Path
) -> None:
    found = rollback(store, tmp_path / "work", why="empty lists", by="eve")
    assert (found.version, found.previous, found.bundle, now(store)) == ("2", "1", three[1], "2")
    assert outcomes(store) == {"1": "promoted", "2": "promoted", "3": "rolled back"}
    left = version_of(store.registry, "3").tags
    assert {key: left[f"rollback.{key}"] for key in ("to", "by", "reason")} == {
        "to": "2",
        "by": "eve",
        "reason": "empty lists",
    }
    assert left["rollback.at"].endswith("+00:00")
    assert version_of(store.registry, "2").tags["decision.reason"] == "better"  # of its own promotion, untouched
    assert rollback(store, tmp_path / "work").version == "1"
    assert version_of(store.registry, "2").tags["rollback.by"] == getpass.getuser()
    with pytest.raises(RefusedError, match=r"Version 1 was the first 'champion': there is none to go back to\."):
        rollback(store, tmp_path / "work")
    assert now(store) == "1"


def test_rollback_may_name_an_earlier_champion_and_no_other_version(
    three: list[str], store: Settings, tmp_path: Path, make_bundle: MakeBundle
) -> None:
    with run(store, "bundle", "never champion", {}, {}):
        register(make_bundle(tmp_path / "never", 9).folder, store.registry)
    for never in ("3", "4"):
        with pytest.raises(RefusedError, match=f"Version {never} was no 'champion' before version 3"):
            rollback(store, tmp_path / "work", to=never)
    with pytest.raises(BundleError, match="Version 7 of 'recsys' is not in the registry"):
        rollback(store, tmp_path / "work", to="7")
    assert rollback(store, tmp_path / "work", to="1").version == "1"
    assert rollback(store, tmp_path / "work", to="3").version == "3"  # forth again
    assert outcomes(store) == {"1": "rolled back", "2": "promoted", "3": "promoted", "4": None}


def test_nothing_to_go_back_to_is_refused(store: Settings, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="no 'champion' to roll back from"):
        rollback(store, tmp_path / "work")


def test_rollback_to_a_harmed_version_is_refused(three: list[str], store: Settings, tmp_path: Path) -> None:
    second = Path(mlflow.MlflowClient().get_model_version_download_uri("recsys", "2").removeprefix("file://"))
    (second / "code").mkdir()
    try:
        with pytest.raises(BundleError, match=r"Version 2 of 'recsys' is refused: .* holds 'code'"):
            rollback(store, tmp_path / "work")
    finally:
        (second / "code").rmdir()
    assert now(store) == "3"
    assert outcomes(store)["3"] == "promoted"


def test_the_alias_does_not_move_from_another_version_than_was_compared(three: list[str], store: Settings) -> None:
    assert not move(store, decided("1", "2"))
    assert now(store) == "3"
    assert outcomes(store)["1"] == "promoted"
    assert move(store, decided("1", "3"))
    assert now(store) == "1"


def test_a_rollback_that_was_overtaken_is_refused(
    three: list[str], store: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = kept.fetch_model

    def overtaken(*args: object) -> Path:
        move(store, decided("1", "3"))
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(alias, "fetch_model", overtaken)
    with pytest.raises(RefusedError, match="was moved while version 2 was verified"):
        rollback(store, tmp_path / "work")
    assert now(store) == "1"


def test_a_registry_that_does_not_answer_is_named(store: Settings, tmp_path: Path) -> None:
    mlflow.set_registry_uri("http://127.0.0.1:1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(RegistryError, match=r"'http://127\.0\.0\.1:1' did not do what was asked"):
            rollback(store, tmp_path / "work")


def test_old_versions_leave_the_registry_and_those_that_are_needed_stay(three: list[str], store: Settings) -> None:
    client = mlflow.MlflowClient()
    for seed in range(3, 6):  # never champions: versions 4, 5, 6
        client.create_model_version(
            "recsys", client.get_model_version("recsys", "1").source, tags={"bundle": str(seed)}
        )
    client.set_registered_model_alias("recsys", "shadow", "4")
    assert prune(store, 2) == []  # 5 and 6, 3 and two before it, 4
    assert prune(store, 1) == ["1", "5"]
    assert sorted(outcomes(store)) == ["2", "3", "4", "6"]
    assert now(store) == "3"
    assert prune(store, 1) == []
