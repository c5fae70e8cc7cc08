"""Limits: sizes, no assert and no broad except in what ships, tests for each module."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = sorted([*(ROOT / "recsys").rglob("*.py"), *(ROOT / "jobs").rglob("*.py")])
TESTS = sorted((ROOT / "tests").rglob("*.py"))
ALL = sorted([*SHIPPED, *TESTS, *(ROOT / "benchmarks").rglob("*.py")])


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def long_functions(text: str, limit: int) -> list[str]:
    functions = (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    return [n.name for n in functions if (n.end_lineno or 0) - n.lineno + 1 > limit]


def forbidden(text: str) -> list[str]:
    """Asserts, and handlers that catch everything."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assert):
            found.append(f"assert, line {node.lineno}")
        if isinstance(node, ast.ExceptHandler):
            caught = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} if node.type else {"everything"}
            found += [f"except {c}, line {node.lineno}" for c in caught & {"Exception", "BaseException", "everything"}]
    return found


def test_files_are_short() -> None:
    assert {name(p): lines(p) for p in ALL if lines(p) > 250} == {}


def test_jobs_are_short() -> None:
    assert {name(p): lines(p) for p in (ROOT / "jobs").glob("*.py") if lines(p) >= 60} == {}


def test_functions_are_short() -> None:
    found = {name(p): long_functions(p.read_text(encoding="utf-8"), 50) for p in ALL}
    assert {file: functions for file, functions in found.items() if functions} == {}


def test_no_assert_and_no_broad_except_in_what_ships() -> None:
    found = {name(p): forbidden(p.read_text(encoding="utf-8")) for p in SHIPPED}
    assert {file: faults for file, faults in found.items() if faults} == {}


def imported(path: Path) -> set[str]:
    froms = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.ImportFrom)]
    return {n.module or "" for n in froms} | {f"{n.module}.{alias.name}" for n in froms for alias in n.names}


def test_every_module_of_some_size_is_imported_by_a_test() -> None:
    tested = set().union(*map(imported, TESTS))
    modules = [p for p in SHIPPED if p.is_relative_to(ROOT / "recsys") and lines(p) > 30 and p.stem != "__init__"]
    assert [name(p) for p in modules if ".".join(p.relative_to(ROOT).with_suffix("").parts) not in tested] == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("assert x", 1),
        ("try:\n    f()\nexcept Exception:\n    pass", 1),
        ("try:\n    f()\nexcept (ValueError, BaseException):\n    pass", 1),
        ("try:\n    f()\nexcept:\n    pass", 1),
        ("try:\n    f()\nexcept ValueError:\n    pass", 0),
    ],
)
def test_the_check_finds_what_is_wrong(text: str, count: int) -> None:
    assert len(forbidden(text)) == count


def test_the_length_check_counts_lines() -> None:
    assert long_functions("def f():\n    a()\n    b()\n", 2) == ["f"]
    assert long_functions("def f():\n    a()\n    b()\n", 3) == []
