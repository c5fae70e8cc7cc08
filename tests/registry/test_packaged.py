"""Models that `register` would never make are refused before MLflow may load them, and nothing of them runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from recsys.config import Settings
from recsys.errors import BundleError
from recsys.registry import promote
from recsys.registry.packaged import bundle_folder
from tests.registry.conftest import MakeBundle, registered
from tests.registry.harm import CANARY
from tests.registry.hostile import CASES

# These are refused in a folder, too (test_hostile.py); here the registry holds them.
HARMED = ("foreign_loader", "shadowed_package", "pickle_as_tensors", "missing", "no_description", "link_bundle")


@pytest.fixture(scope="module")
def original(make_bundle: MakeBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original") / "b"
    make_bundle(folder, 1)
    return folder


@pytest.mark.parametrize("name", HARMED)
def test_a_version_harmed_in_the_registry_is_refused_and_runs_nothing(
    original: Path, store: Settings, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CANARY, str(tmp_path / "canary"))
    version, model = registered(store, original)
    harm, says = CASES[name]
    harm(model)
    with pytest.raises(BundleError, match=f"Version 1 of 'recsys' .*({says})"):
        promote.fetch(store.registry, version, tmp_path / "work")
    assert not (tmp_path / "canary").exists()


def test_a_sound_version_is_fetched_and_is_the_registered_bundle(
    original: Path, store: Settings, tmp_path: Path
) -> None:
    version, _ = registered(store, original)
    found = promote.fetch(store.registry, version, tmp_path / "work")
    assert found.folder == tmp_path / "work" / version / "data" / original.name
    assert (found.folder / "manifest.json").read_bytes() == (original / "manifest.json").read_bytes()


def test_another_sound_bundle_in_its_place_is_refused(
    original: Path, make_bundle: MakeBundle, store: Settings, tmp_path: Path
) -> None:
    version, model = registered(store, original)
    other = make_bundle(tmp_path / "other", 2)
    for file in sorted(other.folder.rglob("*.*")):
        (model / "data" / "b" / file.relative_to(other.folder)).write_bytes(file.read_bytes())
    with pytest.raises(BundleError, match=f"holds bundle {other.id}, registered was"):
        promote.fetch(store.registry, version, tmp_path / "work")


def link_description(model: Path) -> None:
    (model / "MLmodel").rename(model.parent / "elsewhere")
    (model / "MLmodel").symlink_to(model.parent / "elsewhere")


def link_bundle(model: Path) -> None:
    (model / "data" / "b").rename(model.parent / "bundle")
    (model / "data" / "b").symlink_to(model.parent / "bundle")


def link_data(model: Path) -> None:
    (model / "data").rename(model.parent / "data")
    (model / "data").symlink_to(model.parent / "data")


@pytest.mark.parametrize("harm", [link_description, link_bundle, link_data])
def test_links_are_refused(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """Some stores' downloads follow links, some keep them."""
    model = tmp_path / "model"
    (model / "data" / "b").mkdir(parents=True)
    flavour = {"loader_module": "recsys.registry.consumer", "data": "data/b"}
    (model / "MLmodel").write_text(yaml.safe_dump({"flavors": {"python_function": flavour}}))
    assert bundle_folder(model) == model / "data" / "b"
    harm(model)
    with pytest.raises(BundleError):
        bundle_folder(model)


@pytest.mark.parametrize("text", ["", "[]", "flavors: 5", "flavors: {python_function: x}", "flavors: {other: {}}"])
def test_descriptions_of_other_models_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(BundleError, match="wants to be loaded by None"):
        bundle_folder(tmp_path)
