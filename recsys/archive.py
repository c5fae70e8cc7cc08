"""`python -m recsys.archive dist/recsys.zip`: this package as one file for `spark-submit --py-files`."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest time that a zip can hold: the same sources give the same bytes


def build(target: Path) -> Path:
    """Write the package's files, without byte code, to `target`, whole or not at all; returns `target`."""
    files = sorted(file for file in PACKAGE.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_suffix(".part")
    with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.relative_to(PACKAGE.parent).as_posix(), EPOCH)
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return fresh.replace(target)


if __name__ == "__main__":
    build(Path(sys.argv[1] if len(sys.argv) > 1 else "dist/recsys.zip"))
