"""The manifest of a bundle: what it holds, what made it, and a checksum of every file. `verify` checks a folder by it.

Nothing of a bundle is read, and no code of it ever run, before its manifest has been checked.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pydantic import Field

from recsys.config import Behaviour, FeatureSettings, Section, TopNSettings
from recsys.errors import BundleError
from recsys.features.definitions import all_features, feature_hash
from recsys.registry.contents import check_contents
from recsys.registry.tensors import Tensor, read_tensors, unique

FORMAT = 1
NAME = "manifest.json"
MANIFEST_BYTES = 16 << 20  # a larger manifest is no manifest
SUFFIXES = {".json", ".safetensors", ".parquet"}  # data that cannot run; no pickle, no code
TENSORS = ".safetensors"
MOST_BYTES = 16 << 30  # that a file may unfold to in memory
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class File(Section):
    """A file of the bundle."""

    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    tensors: dict[str, Tensor] = Field({})  # of a safetensors file; none in bundles from before they were noted


class Manifest(Section):
    """Everything that a bundle's files alone do not say."""

    format: int = FORMAT
    created_at: str  # ISO 8601, UTC
    version: str  # of recsys
    parent: str | None  # id of the bundle that training started from
    feature_hash: str
    feature_names: tuple[str, ...]
    names: tuple[str, ...]  # behaviour names; the place is the code
    behaviours: dict[str, Behaviour]
    features: FeatureSettings
    topn: TopNSettings
    tables: dict[str, int]  # Delta versions that training read
    files: dict[str, File]  # path inside the bundle, with `/`


def describe(folder: Path) -> dict[str, File]:
    """Size and checksum of every file under `folder` but the manifest.

    BundleError: a link, or a name or a kind of file that no bundle may hold.
    """
    paths = sorted(path for path in _walk(folder) if path != NAME)
    for path in paths:
        check_path(path)
    return {path: _described(folder / path) for path in paths}


def _described(path: Path) -> File:
    tensors = read_tensors(path) if path.suffix == TENSORS else {}
    return File(size=path.stat().st_size, sha256=checksum(path), tensors=tensors)


def encode(manifest: Manifest) -> bytes:
    """The manifest as the bytes of its file."""
    return manifest.model_dump_json(indent=1).encode() + b"\n"


def identity(data: bytes) -> str:
    """The bundle's id: the first 16 hex digits of the SHA-256 of its manifest, and so of all that it names."""
    return hashlib.sha256(data).hexdigest()[:16]


def checksum(path: Path) -> str:
    """SHA-256 of a file in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def verify(folder: Path) -> tuple[Manifest, str]:
    """Check every file of a bundle against its manifest; return the manifest and the bundle's id.

    Raises BundleError, which names the fault: no manifest or one that cannot be used; a path that leaves the bundle; a
    link; a kind of file that could run; a file that is missing, was added, or was changed, or does not hold what its
    kind says (contents.py); tensors of another type or shape; features that this version of recsys computes in another
    way.
    """
    manifest, name = read(folder)
    found = set(_walk(folder)) - {NAME}
    if missing := sorted(set(manifest.files) - found):
        raise BundleError(f"Bundle {str(folder)!r}: {missing[0]!r} is missing ({len(missing)} in all).")
    if extra := sorted(found - set(manifest.files)):
        raise BundleError(f"Bundle {str(folder)!r}: {extra[0]!r} is not in the manifest ({len(extra)} in all).")
    for path, file in manifest.files.items():
        size = (folder / path).stat().st_size
        if size != file.size or checksum(folder / path) != file.sha256:
            raise BundleError(
                f"Bundle {str(folder)!r}: {path!r} was changed (manifest: {file.size} bytes, found {size})."
            )
        found_tensors = check_contents(folder / path, MOST_BYTES)
        if file.tensors and found_tensors != file.tensors:
            odd = sorted(name for name, _ in set(found_tensors.items()) ^ set(file.tensors.items()))
            raise BundleError(f"Bundle {str(folder)!r}: {path!r} has another {odd[0]!r} than the manifest says.")
    computed = feature_hash(all_features(manifest.features))
    if manifest.feature_hash != computed:
        raise BundleError(
            f"Bundle {name} was trained with feature definitions {manifest.feature_hash}, this version of recsys has "
            f"{computed}. Install recsys {manifest.version}, or train a bundle with this version."
        )
    return manifest, name


def read(folder: Path) -> tuple[Manifest, str]:
    """Parse the manifest alone. BundleError: absent, a link, too large, malformed, of another format, or a bad path."""
    path = folder / NAME
    if path.is_symlink() or not path.is_file():
        raise BundleError(f"{str(folder)!r} is no bundle: it has no file {NAME!r}.")
    if path.stat().st_size > MANIFEST_BYTES:
        raise BundleError(f"Bundle {str(folder)!r}: the manifest is larger than {MANIFEST_BYTES} bytes.")
    data = path.read_bytes()
    try:
        json.loads(data, object_pairs_hook=unique)
        manifest = Manifest.model_validate_json(data)
    except (BundleError, ValueError, RecursionError) as error:  # a ValidationError is a ValueError
        raise BundleError(f"Bundle {str(folder)!r}: the manifest cannot be used: {error}") from None
    if manifest.format != FORMAT:
        raise BundleError(f"Bundle {str(folder)!r} has format {manifest.format}, this version reads {FORMAT}.")
    for name in manifest.files:
        check_path(name)
    if set(manifest.names) != set(manifest.behaviours):
        raise BundleError(f"Bundle {str(folder)!r}: names and behaviours of the manifest differ.")
    return manifest, identity(data)


def check_path(path: str) -> None:
    """BundleError: a path that is absolute, leaves its folder, is written in an odd way, or is no kind of data."""
    parts = path.split("/")
    if any(not _PART.fullmatch(part) for part in parts) or str(PurePosixPath(path)) != path:
        raise BundleError(
            f"Path {path!r} is not allowed in a bundle: use relative names of letters, digits, '_', '-', '.'."
        )
    if PurePosixPath(path).suffix not in SUFFIXES:
        raise BundleError(f"File {path!r} is not allowed in a bundle: only {', '.join(sorted(SUFFIXES))} are data.")


def _walk(folder: Path) -> Iterator[str]:
    """Every file as a path inside `folder`. BundleError: anything that is neither a file nor a folder."""
    for entry in folder.iterdir():
        if entry.is_symlink():
            raise BundleError(f"{str(entry)!r} is a link: a bundle holds only files and folders.")
        if entry.is_dir():
            yield from (f"{entry.name}/{path}" for path in _walk(entry))
        elif entry.is_file():
            yield entry.name
        else:
            raise BundleError(f"{str(entry)!r} is a special file: a bundle holds only files and folders.")
