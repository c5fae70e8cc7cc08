"""The champion as a night's jobs see it: downloaded once, checked each time, downloaded anew where it is harmed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pytest

from recsys.config import RegistrySettings, Settings
from recsys.errors import BundleError, NoDataError, RegistryError
from recsys.registry import local, tracking
from recsys.registry.champion import champion, current, required_champion
from recsys.registry.kept import registry_folder
from tests.registry.conftest import MakeBundle, registered

Crown = Callable[[int], str]


@pytest.fixture
def crown(make_bundle: MakeBundle, store: Settings, tmp_path: Path) -> Crown:
    """`crown(seed)` registers a bundle, points the alias at it and gives its version."""

    def point(seed: int) -> str:
        made = make_bundle(tmp_path / "bundles" / f"b{seed}", seed)
        version, _ = registered(store, made.folder)
        names = store.registry
        mlflow.MlflowClient().set_registered_model_alias(names.model, names.alias, version)
        return version

    (tmp_path / "bundles").mkdir()
    return point


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Versions that were downloaded, in order."""
    seen: list[str] = []
    real = local.download

    def noted(settings: RegistrySettings, version: str, into: Path) -> None:
        seen.append(version)
        real(settings, version, into)

    monkeypatch.setattr(local, "download", noted)
    return seen


def test_without_a_champion_there_is_none_and_who_needs_one_is_told(store: Settings) -> None:
    assert champion(store) is None
    with pytest.raises(NoDataError, match=r"model 'recsys' has no 'champion' yet: run jobs/train_encoder\.py and"):
        required_champion(store)


def test_it_is_downloaded_once_and_follows_the_alias(crown: Crown, store: Settings, downloads: list[str]) -> None:
    assert crown(1) == "1"
    first, again = required_champion(store), required_champion(store)
    assert downloads == ["1"]
    assert first.id == again.id
    assert first.folder == again.folder
    assert first.folder.is_relative_to(registry_folder(store) / "1" / "data")
    np.testing.assert_array_equal(first.encoder.item_vectors(), again.encoder.item_vectors())
    assert crown(2) == "2"
    second = required_champion(store)
    assert downloads == ["1", "2"]
    assert second.id != first.id
    names = store.registry
    mlflow.MlflowClient().set_registered_model_alias(names.model, names.alias, "1")
    assert required_champion(store).id == first.id
    assert downloads == ["1", "2"]  # both are kept


@pytest.mark.parametrize("harm", ["gone", "changed", "cut off", "another"])
def test_what_is_kept_is_trusted_only_if_it_is_whole_and_the_registrys(
    crown: Crown, store: Settings, downloads: list[str], make_bundle: MakeBundle, harm: str
) -> None:
    crown(1)
    kept = required_champion(store)
    items = kept.folder / "items.parquet"
    if harm == "gone":
        items.unlink()
    elif harm == "changed":
        items.write_bytes(items.read_bytes()[:-1] + b"?")
    elif harm == "cut off":
        kept.folder.rename(kept.folder.parent.parent / "elsewhere")
    else:
        kept.folder.rename(kept.folder.parent.parent / "elsewhere")
        make_bundle(kept.folder, 2)  # sound, but no bundle of this version
    found = required_champion(store)
    assert downloads == ["1", "1"]
    assert found.id == kept.id
    assert found.folder == kept.folder


def test_a_registry_that_holds_something_else_is_refused(crown: Crown, store: Settings) -> None:
    crown(1)
    mlflow.MlflowClient().set_model_version_tag(store.registry.model, "1", "bundle", "0" * 16)
    with pytest.raises(BundleError, match="registered was 0000000000000000"):
        required_champion(store)


def test_a_server_answers_with_the_newest_champion_that_it_could_load(
    crown: Crown, store: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    with pytest.raises(NoDataError):
        current(store, kept)
    crown(1)
    first = current(store, kept)
    assert (first.version, first.behind) == ("1", None)
    assert first.bundle.folder.is_relative_to(kept)

    crown(2)
    second = mlflow.MlflowClient().get_model_version_download_uri(store.registry.model, "2").removeprefix("file://")
    (items,) = Path(second).rglob("items.parquet")
    items.rename(tmp_path / "items.parquet")
    without = current(store, kept)
    assert (without.version, without.bundle.id) == ("1", first.bundle.id)
    assert "Version 2 of 'recsys' is refused" in str(without.behind)
    assert "'items.parquet' is missing" in str(without.behind)
    (tmp_path / "items.parquet").rename(items)
    assert (current(store, kept).version, current(store, kept).behind) == ("2", None)

    monkeypatch.setattr(tracking, "connect", lambda _: mlflow.set_registry_uri("http://127.0.0.1:1"))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    down = current(store, kept)
    assert down.version == "2"
    assert "'http://127.0.0.1:1' did not do what was asked" in str(down.behind)
    (kept / "2" / "data" / down.bundle.folder.name / "items.parquet").unlink()  # nor is what is kept sound
    with pytest.raises(RegistryError):
        current(store, kept)
