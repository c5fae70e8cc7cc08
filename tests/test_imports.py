"""Packages import only what stands before them, and the tensor side needs no Spark."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOUNDATIONS: tuple[str, ...] = (
    "errors",
    "days",
    "settings",
    "config",
    "schema",
    "ledger",
    "tables",
    "log",
    "java",
    "paths",
    "hadoop",
    "session",
    "classes",
    "pins",
    "commit",
    "deltalog",
    "rewrite",
    "together",
    "io",
    "past",
    "arrivals",
    "pseudonyms",
)
FOUNDATIONS += ("archive", "checkpoints", "queries", "flow")
TENSOR = ("features", "content", "encoder", "candidates", "ranking", "topn", "registry", "serving")
ORDER = (*FOUNDATIONS, "events", "simulate", *TENSOR, "monitor", "fold", "job", "nightly", "demo")
SPARK_MODULES = {
    "spark",
    "stream",
    "job",
    "dataset",
    "distribute",
    "backfill",
    "covered",
    "stored",
    "snapshots",
    "listed",
    "parity",
    "cells",
    "rebuild",
    "state",
    "lifetime",
}  # may import pyspark
SPARK = {"pyspark", "delta", "py4j"}
MODULES = sorted((ROOT / "recsys").rglob("*.py"))


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[str]:
    """Every module name that the file imports, at any depth; `from a import b` gives `a` and `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def faults(name: str, imports: Iterator[str]) -> list[str]:
    """The imports of module `name` that the order forbids."""
    parts = name.split(".")
    if len(parts) == 1:
        return []
    if parts[1] not in ORDER:
        return [f"{name}: {parts[1]!r} is not in ORDER; give it a place"]
    own = ORDER.index(parts[1])
    others = {i.split(".")[1] for i in imports if i.startswith("recsys.")}
    return [f"{name} imports recsys.{o}" for o in sorted(others) if o in ORDER and ORDER.index(o) > own]


def test_packages_import_only_those_before_them() -> None:
    assert [fault for path in MODULES for fault in faults(dotted(path), imported(path))] == []


@pytest.mark.parametrize(
    ("name", "imports", "expected"),
    [
        ("recsys.features.user", ["recsys.config"], 0),
        ("recsys.features.user", ["recsys.features.windows", "numpy"], 0),
        ("recsys.features.user", ["recsys.encoder.model"], 1),
        ("recsys.simulate.shop", ["recsys.ranking"], 1),
        ("recsys.newcomer", [], 1),
    ],
)
def test_the_check_finds_what_is_wrong(name: str, imports: list[str], expected: int) -> None:
    assert len(faults(name, iter(imports))) == expected


def test_nothing_in_the_package_imports_jobs_or_tests() -> None:
    assert [str(p) for p in MODULES if {i.split(".")[0] for i in imported(p)} & {"jobs", "tests", "benchmarks"}] == []


def tensor_side() -> list[Path]:
    packages = [p for p in MODULES if p.relative_to(ROOT).parts[1] in TENSOR]
    return [p for p in packages if p.stem not in SPARK_MODULES]


def test_only_spark_modules_import_spark() -> None:
    assert [str(p) for p in tensor_side() if {i.split(".")[0] for i in imported(p)} & SPARK] == []


def test_the_tensor_side_is_imported_where_there_is_no_spark() -> None:
    code = (
        "import importlib, sys, warnings\n"
        "warnings.simplefilter('ignore')\n"
        f"sys.modules.update(dict.fromkeys({sorted(SPARK)!r}))\n"  # None: importing it raises ImportError
        f"for name in {[dotted(p) for p in tensor_side()]!r}: importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
