"""Hostile models: refused by a named reason, and nothing of them runs. A bare MLflow load runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from recsys.errors import BundleError
from recsys.registry import bundle as bundles
from recsys.registry import kept, local
from recsys.registry.kept import take
from recsys.registry.local import copy
from recsys.registry.packaged import bundle_folder
from tests.registry.conftest import MakeBundle, own_mlflow, packed
from tests.registry.harm import CANARY, data, described
from tests.registry.harm_files import changed_byte
from tests.registry.hostile import CASES, RUN_BY_A_BARE_LOAD

MOST = 1 << 30
BARE = """
import os, sys, mlflow.pyfunc
for model in sys.argv[1:]:
    os.environ["CANARY"] = model + ".ran"
    path, modules = list(sys.path), set(sys.modules)
    try:
        mlflow.pyfunc.load_model(model)
    except Exception as error:
        print(type(error).__name__)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]
"""


@pytest.fixture(scope="module")
def sound(make_bundle: MakeBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder as MLflow writes it."""
    folder = tmp_path_factory.mktemp("sound")
    make_bundle(folder / "b", 1)
    with own_mlflow():
        return packed(folder / "b", folder / "model")


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CANARY, str(tmp_path / "canary"))
    return tmp_path / "canary"


def accepted(model: Path, place: Path) -> bundles.Bundle:
    """What every command of ours does with a model."""
    return bundles.load(bundle_folder(take(partial(_copied, model), place)))


def _copied(model: Path, into: Path) -> None:
    copy(model, into, MOST)


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_model_is_refused_by_name_and_runs_nothing(
    sound: Path, tmp_path: Path, canary: Path, name: str
) -> None:
    harm, says = CASES[name]
    shutil.copytree(sound, tmp_path / "model")
    harm(tmp_path / "model")
    path, modules = list(sys.path), set(sys.modules)
    with pytest.raises(BundleError, match=says):
        accepted(tmp_path / "model", tmp_path / "kept" / "1")
    assert not canary.exists()
    assert sys.path == path
    assert {"foreign_loader", "runpy_hook", "pandas_extra"} & (set(sys.modules) - modules) == set()
    assert [p.name for p in (tmp_path / "kept").iterdir() if p.name != "lock"] in ([], ["1"])  # nothing half done


def test_there_are_many_and_the_sound_one_is_accepted(sound: Path, tmp_path: Path) -> None:
    assert len(CASES) >= 60
    assert accepted(sound, tmp_path / "kept" / "1").folder == tmp_path / "kept" / "1" / "data" / "b"


def test_a_bare_load_runs_what_ours_refuses(sound: Path, tmp_path: Path) -> None:
    """`mlflow.pyfunc.load_model` trusts whoever can write to the registry."""
    for name in RUN_BY_A_BARE_LOAD:
        shutil.copytree(sound, tmp_path / name)
        CASES[name][0](tmp_path / name)
    models = [str(tmp_path / name) for name in RUN_BY_A_BARE_LOAD]
    own = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", BARE, *models], env=own, check=True, capture_output=True)
    assert [name for name in RUN_BY_A_BARE_LOAD if not (tmp_path / f"{name}.ran").exists()] == []
    for model in models:  # and so it is their code that the other tests watch for
        with pytest.raises(BundleError):
            accepted(Path(model), tmp_path / "kept" / "1")


def test_a_change_after_the_check_changes_nothing(
    sound: Path, tmp_path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original is harmed as soon as it was checked: what is loaded is the copy that was checked."""
    shutil.copytree(sound, tmp_path / "model")
    real = kept.check

    def then_harmed(model: Path) -> tuple[Path, str]:
        found = real(model)
        CASES["foreign_loader"][0](tmp_path / "model")
        changed_byte(tmp_path / "model")
        return found

    monkeypatch.setattr(kept, "check", then_harmed)
    loaded = accepted(tmp_path / "model", tmp_path / "kept" / "1")
    assert loaded.id == bundles.load(data(sound)).id
    assert not canary.exists()
    with pytest.raises(BundleError, match="foreign_loader"):
        accepted(tmp_path / "model", tmp_path / "kept" / "2")


def test_a_change_during_the_copy_is_found(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(sound, tmp_path / "model")
    real = local._copy_file
    done: list[str] = []

    def raced(opened: int, path: str, to: Path, left: local._Left) -> None:
        if path.endswith("manifest.json"):
            changed_byte(tmp_path / "model")  # before the tensors are copied, after the manifest was opened
        real(opened, path, to, left)
        done.append(path)

    monkeypatch.setattr(local, "_copy_file", raced)
    with pytest.raises(BundleError, match="was changed"):
        accepted(tmp_path / "model", tmp_path / "kept" / "1")
    assert "data/b/ranker/ranker.safetensors" in done


def test_a_copy_holds_nothing_of_the_description_that_was_not_checked(sound: Path, tmp_path: Path) -> None:
    shutil.copytree(sound, tmp_path / "model")
    described(tmp_path / "model", config="config.yaml", model_code_path="x.py", python_model="python_model.pkl")
    accepted(tmp_path / "model", tmp_path / "kept" / "1")
    text = (tmp_path / "kept" / "1" / "MLmodel").read_text()
    assert "recsys.registry.consumer" in text
    assert "signature" in text
    assert not any(word in text for word in ("config", "model_code_path", "python_model"))


def test_another_bundle_than_the_registered_one_is_refused(sound: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"it holds bundle [0-9a-f]{16}, registered was 0000000000000000"):
        take(partial(_copied, sound), tmp_path / "kept" / "1", "0" * 16)


def test_the_command_refuses_in_a_process_of_its_own(sound: Path, tmp_path: Path, canary: Path) -> None:
    shutil.copytree(sound, tmp_path / "model")
    CASES["shadowed_package"][0](tmp_path / "model")
    own = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "RECSYS__artifacts": str(tmp_path / "artifacts")}
    command = [sys.executable, "-m", "recsys.registry", "verify", str(tmp_path / "model")]
    done = subprocess.run(command, env=own, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "brings its own code" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not canary.exists()
