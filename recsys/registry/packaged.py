"""What a registered model must look like before MLflow may load it: our loader module, one bundle, no code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from recsys.errors import BundleError

LOADER = "recsys.registry.consumer"
MLMODEL = "MLmodel"
# What MLflow itself writes beside the bundle.
BESIDE = {MLMODEL, "conda.yaml", "python_env.yaml", "requirements.txt", "registered_model_meta"}
DATA = "data"


def bundle_folder(model: Path) -> Path:
    """The bundle inside a downloaded model, which is not verified yet.

    Raises BundleError: no MLmodel file; a loader module other than LOADER; `code`; files or links that MLflow does not
    write; not exactly one bundle.
    """
    try:
        described = yaml.safe_load((model / MLMODEL).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BundleError(f"Model {str(model)!r} has no {MLMODEL} file that can be read: {error}") from None
    flavour = _flavour(described)
    if flavour.get("loader_module") != LOADER:
        raise BundleError(
            f"Model {str(model)!r} wants to be loaded by {flavour.get('loader_module')!r}, not {LOADER!r}."
        )
    if flavour.get("code") is not None:
        raise BundleError(f"Model {str(model)!r} brings its own code ({flavour['code']!r}); only data is loaded.")
    for entry in model.iterdir():
        if entry.is_symlink() or (entry.name not in BESIDE and entry.name != DATA):
            raise BundleError(f"Model {str(model)!r} holds {entry.name!r}, which no registered bundle has.")
    folders = list((model / DATA).iterdir()) if (model / DATA).is_dir() else []
    if len(folders) != 1 or folders[0].is_symlink() or not folders[0].is_dir():
        raise BundleError(f"Model {str(model)!r} holds {len(folders)} entries under {DATA!r}; one bundle is expected.")
    if flavour.get("data") != f"{DATA}/{folders[0].name}":
        raise BundleError(f"Model {str(model)!r} points at {flavour.get('data')!r}, its bundle is {folders[0].name!r}.")
    return folders[0]


def _flavour(described: object) -> dict[str, Any]:
    flavours = described.get("flavors") if isinstance(described, dict) else None
    flavour = flavours.get("python_function") if isinstance(flavours, dict) else None
    return flavour if isinstance(flavour, dict) else {}
