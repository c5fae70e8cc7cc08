"""Harm to a registered model, done for real to its folder. What can run code would touch a file.

Harm inside the bundle is sealed: the manifest names it with its true size and checksum, as whoever can write to a
registry would do.
"""

from __future__ import annotations

import gzip
import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from recsys.registry.manifest import checksum

CANARY = "CANARY"  # the environment variable that names the file which hostile code touches
CODE = f"import os, pathlib\npathlib.Path(os.environ[{CANARY!r}]).touch()\ndef _load_pyfunc(path): return None\n"
RANKER, ENCODER, ITEMS = "ranker/ranker.safetensors", "encoder/encoder.safetensors", "items.parquet"
Harm = Callable[[Path], object]


class Bomb:
    """Its pickle touches the canary where it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (CODE,)


PICKLE = pickle.dumps(Bomb())


def data(model: Path) -> Path:
    return next((model / "data").iterdir())


def seal(model: Path, **more: object) -> None:
    """Write the manifest anew so that sizes and checksums are true; `more` goes into the manifest as it is."""
    bundle = data(model)
    told = json.loads((bundle / "manifest.json").read_text())
    files = sorted(p for p in bundle.rglob("*") if p.is_file() and p.name != "manifest.json")
    names = {p.relative_to(bundle).as_posix(): {"size": p.stat().st_size, "sha256": checksum(p)} for p in files}
    (bundle / "manifest.json").write_text(json.dumps(told | {"files": names} | more))


def described(model: Path, **change: object) -> None:
    told = yaml.safe_load((model / "MLmodel").read_text())
    told["flavors"]["python_function"].update(change)
    (model / "MLmodel").write_text(yaml.safe_dump(told))


def also(model: Path, path: str, content: bytes | str) -> None:
    """A further file."""
    target = model / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content.encode() if isinstance(content, str) else content)


def inside(name: str, content: bytes) -> Harm:
    """A file of the bundle with this content, sealed."""

    def harm(model: Path) -> None:
        also(data(model), name, content)
        seal(model)

    return harm


def raw(header: object, rest: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with this header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + rest


def one(dtype: str = "F32", shape: object = (2,), offsets: object = (0, 8), rest: bytes = bytes(8)) -> Harm:
    return inside(RANKER, raw({"mean": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}, rest))


# Code that a bare load runs


def pickled_python_model(model: Path) -> None:
    also(model, "python_model.pkl", PICKLE)
    described(model, loader_module="mlflow.pyfunc.model", data=".", python_model="python_model.pkl")


def gzip_pickled_python_model(model: Path) -> None:
    also(model, "python_model.pkl.gz", gzip.compress(PICKLE))
    compressed = {"python_model": "python_model.pkl.gz", "python_model_compression": "gzip"}
    described(model, loader_module="mlflow.pyfunc.model", data=".", **compressed)


def pickled_sklearn(model: Path) -> None:
    also(model, "model.pkl", PICKLE)
    described(model, loader_module="mlflow.sklearn", data="model.pkl")


def foreign_loader(model: Path) -> None:
    also(model, "code/foreign_loader.py", CODE)
    described(model, loader_module="foreign_loader", code="code")


def shadowed_package(model: Path) -> None:
    """Our own loader's name, found in the model's own code."""
    also(model, "code/recsys/__init__.py", CODE)
    described(model, code="code")


def foreign_code_for_our_loader(model: Path) -> None:
    also(model, "code/pandas_extra.py", CODE)
    described(model, code="code")


def standard_library_loader(model: Path) -> None:
    described(model, loader_module="runpy")


def second_flavour(model: Path) -> None:
    also(model, "model.pkl", PICKLE)
    told = yaml.safe_load((model / "MLmodel").read_text())
    told["flavors"]["sklearn"] = {"pickled_model": "model.pkl", "serialization_format": "pickle"}
    (model / "MLmodel").write_text(yaml.safe_dump(told))


# The description


def yaml_that_runs(model: Path) -> None:
    (model / "MLmodel").write_text(f"!!python/object/apply:builtins.exec [{json.dumps(CODE)}]\n")


def key_twice(model: Path) -> None:
    with (model / "MLmodel").open("a") as file:
        file.write("flavors:\n  python_function:\n    loader_module: runpy\n")


def yaml_bomb(model: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with (model / "MLmodel").open("a") as file:
        file.write("\n".join(lines))


def huge_description(model: Path) -> None:
    with (model / "MLmodel").open("a") as file:
        file.write("#" * (1 << 20))


def evil_requirement(model: Path) -> None:
    also(model, "requirements.txt", "recsys==0.1.0\n--index-url https://packages.invalid/simple\n")


def evil_conda(model: Path) -> None:
    also(model, "conda.yaml", "dependencies:\n- python=3.11\n- pip:\n  - git+https://code.invalid/x.git\n")


def evil_environment(model: Path) -> None:
    also(model, "python_env.yaml", "python: '3.11'\nbuild_dependencies: ['pip @ file:///x.whl']\ndependencies: []\n")
