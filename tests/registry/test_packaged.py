"""Models that `register` would never make are refused before MLflow may load them, and nothing of them runs."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from recsys.config import Settings
from recsys.errors import BundleError
from recsys.registry import promote
from recsys.registry.packaged import bundle_folder
from tests.registry.conftest import MakeBundle, registered

RAN = "ran.txt"  # what hostile code writes


def hostile(folder: Path, name: str = "hostile_loader") -> Path:
    """A module that leaves a trace wherever it is imported."""
    folder.mkdir(parents=True, exist_ok=True)
    trace = f"open({str(folder.parent / RAN)!r}, 'w').close()\n"
    (folder / f"{name}.py").write_text(f"{trace}def _load_pyfunc(path):\n    return None\n")
    return folder


class Bomb:
    """Its pickle touches a file where it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def described(model: Path, change: Callable[[dict[str, Any]], object]) -> None:
    told = yaml.safe_load((model / "MLmodel").read_text())
    change(told["flavors"]["python_function"])
    (model / "MLmodel").write_text(yaml.safe_dump(told))


def other_loader(model: Path) -> None:
    hostile(model / "data")
    described(model, lambda flavour: flavour.update(loader_module="hostile_loader"))


def own_code(model: Path) -> None:
    hostile(model / "code", "recsys")
    described(model, lambda flavour: flavour.update(code="code"))


def code_beside(model: Path) -> None:
    hostile(model / "code")


def pickle_beside(model: Path) -> None:
    (model / "python_model.pkl").write_bytes(pickle.dumps(Bomb(model / RAN)))


def pickle_inside(model: Path) -> None:
    (next((model / "data").iterdir()) / "model.pkl").write_bytes(pickle.dumps(Bomb(model / RAN)))


def pickle_as_data(model: Path) -> None:
    """Under the name of a file that a bundle has."""
    ranker = next((model / "data").iterdir()) / "ranker" / "ranker.safetensors"
    ranker.write_bytes(pickle.dumps(Bomb(model / RAN)))


def extra_file(model: Path) -> None:
    (next((model / "data").iterdir()) / "extra.json").write_text("{}")


def changed_byte(model: Path) -> None:
    items = next((model / "data").iterdir()) / "items.parquet"
    data = bytearray(items.read_bytes())
    data[len(data) // 2] ^= 1
    items.write_bytes(data)


def second_bundle(model: Path) -> None:
    (model / "data" / "other").mkdir()


def other_data(model: Path) -> None:
    described(model, lambda flavour: flavour.update(data="../elsewhere"))


def no_description(model: Path) -> None:
    (model / "MLmodel").unlink()


def yaml_that_runs(model: Path) -> None:
    (model / "MLmodel").write_text(
        f"!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{model / RAN}']]"
    )


HARMS = [
    (other_loader, "wants to be loaded by 'hostile_loader'"),
    (own_code, "brings its own code"),
    (code_beside, "holds 'code'"),
    (pickle_beside, r"holds 'python_model\.pkl'"),
    (pickle_inside, r"'model\.pkl' is not in the manifest"),
    (pickle_as_data, r"ranker\.safetensors' was changed"),
    (extra_file, r"'extra\.json' is not in the manifest"),
    (changed_byte, r"items\.parquet' was changed"),
    (second_bundle, "2 entries under 'data'"),
    (other_data, r"points at '\.\./elsewhere'"),
    (no_description, "no MLmodel file|cannot be downloaded"),
    (yaml_that_runs, "no MLmodel file that can be read|cannot be downloaded"),
]


@pytest.fixture(autouse=True)
def _nothing_hostile_is_imported() -> Iterator[None]:
    path = list(sys.path)
    yield
    assert "hostile_loader" not in sys.modules
    assert sys.path == path


@pytest.fixture(scope="module")
def original(make_bundle: MakeBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original") / "b"
    make_bundle(folder, 1)
    return folder


@pytest.mark.parametrize(("harm", "says"), HARMS, ids=[harm.__name__ for harm, _ in HARMS])
def test_a_version_harmed_in_the_registry_is_refused_and_runs_nothing(
    original: Path, store: Settings, tmp_path: Path, harm: Callable[[Path], None], says: str
) -> None:
    version, model = registered(store, original)
    harm(model)
    with pytest.raises(BundleError, match=says):
        promote.fetch(store.registry, version, tmp_path / "work")
    assert list(tmp_path.rglob(RAN)) == []


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
