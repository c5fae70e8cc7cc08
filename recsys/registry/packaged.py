"""What a registered model must look like before MLflow may load it: our loader module, one bundle, no code.

The MLmodel file decides what MLflow runs, so that of a verified copy is written anew, from what was checked in it.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from recsys.errors import BundleError

LOADER = "recsys.registry.consumer"
MLMODEL, REQUIREMENTS, PYTHON_ENV, CONDA = "MLmodel", "requirements.txt", "python_env.yaml", "conda.yaml"
BESIDE = {MLMODEL, REQUIREMENTS, PYTHON_ENV, CONDA}  # what MLflow itself writes beside the bundle
DATA = "data"
MOST_BYTES = 1 << 20  # of a file beside the bundle
KEPT = ("mlflow_version", "model_id", "model_uuid", "run_id", "signature", "utc_time_created")
# These files say what is installed for the model: from elsewhere, or anything else, would run at installation.
_PINNED = re.compile(r"(mlflow|recsys|python|pip|setuptools|wheel)((==|<=|=)[0-9][0-9A-Za-z.+]*)?")
_CHANNELS = {"conda-forge", "defaults"}


class _Strict(yaml.SafeLoader):
    """Plain YAML: no tags, no aliases (a small file could unfold without end), no key twice (readers would differ)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        if len(set(map(str, keys))) != len(keys):
            raise yaml.YAMLError(f"a key stands twice among {keys}")
        return super().construct_mapping(node, deep)


def bundle_folder(model: Path) -> Path:
    """The bundle inside a downloaded model, which is not verified yet.

    Raises BundleError: no MLmodel file that can be read; a loader module other than LOADER; another flavour; `code`;
    files or links that MLflow does not write; packages to install other than MLflow and recsys; not exactly one bundle.
    """
    described = _read(model / MLMODEL)
    flavour = _flavour(model, described)
    for entry in model.iterdir():
        if entry.is_symlink() or (entry.name not in BESIDE and entry.name != DATA):
            raise BundleError(f"Model {str(model)!r} holds {entry.name!r}, which no registered bundle has.")
    _check_environment(model)
    folders = list((model / DATA).iterdir()) if (model / DATA).is_dir() else []
    if len(folders) != 1 or folders[0].is_symlink() or not folders[0].is_dir():
        raise BundleError(f"Model {str(model)!r} holds {len(folders)} entries under {DATA!r}; one bundle is expected.")
    if flavour.get("data") != f"{DATA}/{folders[0].name}":
        raise BundleError(f"Model {str(model)!r} points at {flavour.get('data')!r}, its bundle is {folders[0].name!r}.")
    return folders[0]


def describe_anew(model: Path) -> None:
    """Write the MLmodel file of a model that `bundle_folder` accepts, with nothing in it but what was checked."""
    described = _read(model / MLMODEL)
    data = f"{DATA}/{bundle_folder(model).name}"
    flavour: dict[str, object] = {"loader_module": LOADER, "code": None, "data": data, "streamable": False}
    files = {"conda": CONDA, "virtualenv": PYTHON_ENV}
    if present := {kind: name for kind, name in files.items() if (model / name).exists()}:
        flavour["env"] = present
    version = described["flavors"]["python_function"].get("python_version")
    if isinstance(version, str) and re.fullmatch(r"[0-9.]+", version):
        flavour["python_version"] = version
    kept = {key: described[key] for key in KEPT if isinstance(described.get(key), str | dict)}
    text = yaml.safe_dump({"flavors": {"python_function": flavour}, **kept})
    (model / MLMODEL).write_text(text, encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. BundleError: none, a link, too large, or not plain YAML."""
    model = str(path.parent)
    try:
        if path.is_symlink() or path.stat().st_size > MOST_BYTES:
            raise BundleError(f"Model {model!r}: {path.name} is a link or larger than {MOST_BYTES} bytes.")
        found = yaml.load(path.read_text(encoding="utf-8"), _Strict)  # a SafeLoader
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise BundleError(f"Model {model!r} has no {path.name} file that can be read: {error}") from None
    return found if isinstance(found, dict) else {}


def _flavour(model: Path, described: dict[str, Any]) -> dict[str, Any]:
    flavours = described.get("flavors")
    flavours = flavours if isinstance(flavours, dict) else {}
    found = flavours.get("python_function")
    flavour: dict[str, Any] = found if isinstance(found, dict) else {}
    if flavour.get("loader_module") != LOADER:
        raise BundleError(
            f"Model {str(model)!r} wants to be loaded by {flavour.get('loader_module')!r}, not {LOADER!r}."
        )
    if flavour.get("code") is not None:
        raise BundleError(f"Model {str(model)!r} brings its own code ({flavour['code']!r}); only data is loaded.")
    if more := sorted(map(str, set(flavours) - {"python_function"})):
        raise BundleError(f"Model {str(model)!r} has a further flavour, {more[0]!r}; a bundle has one.")
    return flavour


def _check_environment(model: Path) -> None:
    wanted: list[object] = []
    if (model / REQUIREMENTS).exists():
        if (model / REQUIREMENTS).stat().st_size > MOST_BYTES:
            raise BundleError(f"Model {str(model)!r}: {REQUIREMENTS} is larger than {MOST_BYTES} bytes.")
        wanted += (model / REQUIREMENTS).read_text(encoding="utf-8", errors="replace").split("\n")
    if (model / PYTHON_ENV).exists():
        told = _read(model / PYTHON_ENV)
        wanted += [f"python={told.pop('python', '')}", *_list(told.pop("build_dependencies", []))]
        wanted += [line for line in _list(told.pop("dependencies", [])) if line != f"-r {REQUIREMENTS}"]
        wanted += told
    if (model / CONDA).exists():
        told = _read(model / CONDA)
        wanted += [channel for channel in _list(told.pop("channels", [])) if channel not in _CHANNELS]
        for line in _list(told.pop("dependencies", [])):
            wanted += _list(line["pip"]) if isinstance(line, dict) and set(line) == {"pip"} else [line]
        told.pop("name", None)
        wanted += told
    for line in wanted:
        if line != "" and not (isinstance(line, str) and _PINNED.fullmatch(line)):
            raise BundleError(f"Model {str(model)!r} wants {line!r} to be installed; a bundle needs MLflow and recsys.")


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else [value]
