from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from recsys import archive
from recsys.archive import build
from recsys.errors import ConfigError


def test_same_sources_same_bytes(tmp_path: Path) -> None:
    assert build(tmp_path / "a" / "one.zip").read_bytes() == build(tmp_path / "two.zip").read_bytes()
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["one.zip"]


def test_holds_both_packages_and_nothing_else(tmp_path: Path) -> None:
    names = zipfile.ZipFile(build(tmp_path / "recsys.zip")).namelist()
    assert {name.split("/")[0] for name in names} == {"recsys", "jobs"}
    assert {"recsys/monitor/report.html.j2", "recsys/log4j2.properties", "jobs/nightly.py"} <= set(names)
    assert [name for name in names if name.endswith(".pyc")] == []


@pytest.mark.parametrize("module", ["recsys.tables", "recsys.java", "jobs.simulate"])
def test_packages_are_imported_from_the_archive(tmp_path: Path, module: str) -> None:
    zipped = build(tmp_path / "recsys.zip")
    code = f"import sys; sys.path.insert(0, {str(zipped)!r}); import {module} as m; sys.stdout.write(m.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(zipped))


def test_without_a_clone_there_is_nothing_to_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recsys").mkdir()
    (tmp_path / "recsys" / "__init__.py").touch()
    monkeypatch.setattr(archive, "ROOT", tmp_path)
    with pytest.raises(ConfigError, match="no package 'jobs'"):
        build(tmp_path / "recsys.zip")
    assert not (tmp_path / "recsys.zip").exists()
