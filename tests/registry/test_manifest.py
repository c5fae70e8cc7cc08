import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from recsys.errors import BundleError
from recsys.registry import manifest as manifests
from recsys.registry.manifest import check_path, describe, verify
from tests.registry.conftest import MakeBundle

RANKER = "ranker/ranker.safetensors"


def rewrite(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    path = folder / manifests.NAME
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


@pytest.fixture
def folder(make_bundle: MakeBundle, tmp_path: Path) -> Path:
    make_bundle(tmp_path / "b", 1)
    return tmp_path / "b"


def test_a_sound_bundle_is_accepted_and_its_id_covers_every_file(folder: Path) -> None:
    manifest, name = verify(folder)
    assert set(manifest.files) == {
        "encoder/encoder.json",
        "encoder/encoder.safetensors",
        "items.parquet",
        "ranker/ranker.json",
        RANKER,
    }
    assert manifest.names == tuple(manifest.behaviours)
    assert manifests.identity((folder / manifests.NAME).read_bytes()) == name


def change_a_byte(folder: Path) -> None:
    data = bytearray((folder / RANKER).read_bytes())
    data[-1] ^= 1
    (folder / RANKER).write_bytes(data)


def link(folder: Path) -> None:
    target = folder.parent / "elsewhere.safetensors"
    (folder / RANKER).rename(target)
    (folder / RANKER).symlink_to(target)


def link_folder(folder: Path) -> None:
    (folder / "ranker").rename(folder.parent / "elsewhere")
    (folder / "ranker").symlink_to(folder.parent / "elsewhere")


def link_manifest(folder: Path) -> None:
    (folder / manifests.NAME).rename(folder.parent / "elsewhere.json")
    (folder / manifests.NAME).symlink_to(folder.parent / "elsewhere.json")


def climb(folder: Path) -> None:
    (folder.parent / "x.json").write_text("{}")
    rewrite(folder, lambda told: told["files"].update({"../x.json": {"size": 2, "sha256": "0" * 64}}))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (change_a_byte, rf"'{RANKER}' was changed"),
        (lambda f: (f / RANKER).write_bytes(b""), r"found 0\)"),
        (lambda f: (f / RANKER).unlink(), rf"'{RANKER}' is missing"),
        (lambda f: (f / "extra.json").write_text("{}"), r"'extra\.json' is not in the manifest"),
        (lambda f: (f / "code").mkdir() or (f / "code" / "x.py").write_text(""), r"'code/x\.py' is not in the"),
        (link, "is a link"),
        (link_folder, "is a link"),
        (link_manifest, "has no file"),
        (lambda f: os.mkfifo(f / "pipe.json"), "special file"),
        (climb, r"'\.\./x\.json' is not allowed"),
        (lambda f: (f / manifests.NAME).unlink(), "is no bundle"),
        (lambda f: (f / manifests.NAME).write_text("{"), "cannot be used"),
        (lambda f: rewrite(f, lambda told: told.update(surprise=1)), "surprise"),
        (lambda f: rewrite(f, lambda told: told.update(format=2)), "has format 2"),
        (lambda f: rewrite(f, lambda told: told.update(names=["click"])), "names and behaviours"),
        (lambda f: rewrite(f, lambda told: told.update(feature_hash="0" * 16)), "feature definitions 0000"),
    ],
)
def test_each_harm_is_refused_by_name(folder: Path, harm: Callable[[Path], object], says: str) -> None:
    harm(folder)
    with pytest.raises(BundleError, match=says):
        verify(folder)


def test_a_huge_manifest_is_not_read(folder: Path) -> None:
    with (folder / manifests.NAME).open("r+b") as stream:
        stream.truncate(manifests.MANIFEST_BYTES + 1)
    with pytest.raises(BundleError, match="larger than"):
        verify(folder)


@pytest.mark.parametrize(
    "path",
    [
        "/x.json",
        "../x.json",
        "a/../x.json",
        "a//x.json",
        "./x.json",
        "a\\x.json",
        "",
        ".x.json",
        "a/.x.json",
        "x.json\n",
    ],
)
def test_paths_that_leave_the_bundle_or_hide_are_refused(path: str) -> None:
    with pytest.raises(BundleError, match="is not allowed"):
        check_path(path)


@pytest.mark.parametrize("path", ["model.pkl", "model.pt", "code/x.py", "x.json.gz", "x", "conda.yaml"])
def test_files_that_are_not_plain_data_are_refused(path: str) -> None:
    with pytest.raises(BundleError, match="are data"):
        check_path(path)


def test_a_folder_with_a_pickle_can_not_be_described(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"")
    with pytest.raises(BundleError, match=r"model\.pkl"):
        describe(tmp_path)
