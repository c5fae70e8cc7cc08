"""Copies: whole, plain, bounded; also of stores that only list and download."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow.entities import FileInfo
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from recsys.config import Settings
from recsys.errors import BundleError
from recsys.registry.local import copy, download
from tests.registry.conftest import MakeBundle, registered


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_copy_is_equal_byte_by_byte(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "a" / "x.json").write_bytes(b"{}")
    (tmp_path / "a" / "b" / "c" / "large.bin").write_bytes(bytes(range(256)) * 9000)  # more than two blocks
    (tmp_path / "to").mkdir()
    copy(tmp_path / "a", tmp_path / "to", 1 << 30)
    assert tree(tmp_path / "to") == tree(tmp_path / "a")


def test_the_limit_counts_all_files_together(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("x.json", "y.json"):
        (tmp_path / "a" / name).write_bytes(bytes(60))
    for place, limit in enumerate((119, 120)):
        (tmp_path / str(place)).mkdir()
        if limit == 120:
            copy(tmp_path / "a", tmp_path / str(place), limit)
        else:
            with pytest.raises(BundleError, match=r"At 'y\.json' the model is larger"):
                copy(tmp_path / "a", tmp_path / str(place), limit)


def test_a_folder_that_is_absent_or_a_file_can_not_be_copied(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("absent", "file"):
        with pytest.raises(OSError):
            copy(tmp_path / name, tmp_path, 1)


@pytest.fixture
def remote(make_bundle: MakeBundle, store: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A version whose files are reached by MLflow's artifact functions alone, as those of an object store are."""
    _, model = registered(store, make_bundle(tmp_path / "b", 1).folder)
    monkeypatch.setattr("recsys.registry.local._is_local", lambda _: False)
    return model


def test_a_remote_version_is_listed_and_then_downloaded(remote: Path, store: Settings, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    download(store.registry, "1", tmp_path / "to")
    assert tree(tmp_path / "to") == tree(remote)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (FileInfo("../x.json", False, 1), r"Path '\.\./x\.json' is not allowed"),
        (FileInfo("/x.json", False, 1), r"Path '/x\.json' is not allowed"),
        (FileInfo("x;y.json", False, 1), r"Path 'x;y\.json' is not allowed"),
        (FileInfo("data", True, None), "is larger than 64 files"),  # folders of nine folders
        (FileInfo("x.json", False, 1 << 50), r"At 'x\.json' the model is larger"),
    ],
)
def test_a_remote_listing_is_checked_before_anything_is_downloaded(
    remote: Path, store: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: FileInfo, says: str
) -> None:
    def listed(_: object, path: str | None = None) -> list[FileInfo]:
        again = FileInfo(f"{path}/d", True, None) if path and path.count("/") < 2 else FileInfo(f"{path}/x", False, 1)
        return [again] * 9 if path else [entry]

    monkeypatch.setattr(LocalArtifactRepository, "list_artifacts", listed)
    monkeypatch.setattr(LocalArtifactRepository, "download_artifacts", lambda *_: pytest.fail("downloaded"))
    with pytest.raises(BundleError, match=says):
        download(store.registry, "1", tmp_path)
