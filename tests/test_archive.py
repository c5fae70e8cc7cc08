from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from recsys.archive import build


def test_same_sources_same_bytes(tmp_path: Path) -> None:
    assert build(tmp_path / "a" / "one.zip").read_bytes() == build(tmp_path / "two.zip").read_bytes()
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["one.zip"]


def test_package_is_imported_from_the_archive(tmp_path: Path) -> None:
    archive = build(tmp_path / "recsys.zip")
    code = f"import sys; sys.path.insert(0, {str(archive)!r}); import recsys.tables as t; sys.stdout.write(t.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(archive))
