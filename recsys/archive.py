"""`python -m recsys.archive dist/recsys.zip`: `recsys` and `jobs` as one file for `spark-submit --py-files`."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

from recsys.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("recsys", "jobs")  # spark-submit puts a script's folder on the path, not the package that it lies in
EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest time that a zip can hold: the same sources give the same bytes


def build(target: Path) -> Path:
    """Write the files of both packages, without byte code, to `target`, whole or not at all; returns `target`.

    Raises ConfigError: this is no clone, an installed `recsys` lies without `jobs`.
    """
    for package in PACKAGES:
        if not (ROOT / package / "__init__.py").is_file():
            raise ConfigError(f"there is no package {package!r} in {str(ROOT)!r}: build the archive in a clone.")
    files = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*") if _belongs(file))
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_suffix(".part")
    with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.relative_to(ROOT).as_posix(), EPOCH)
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return fresh.replace(target)


def _belongs(file: Path) -> bool:
    return file.is_file() and "__pycache__" not in file.parts


if __name__ == "__main__":
    build(Path(sys.argv[1] if len(sys.argv) > 1 else "dist/recsys.zip"))
