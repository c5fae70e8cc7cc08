"""The uniform population's files: as many lines as it says, ids once, and times in order."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from benchmarks._populations import DAYS, FILES, Uniform


def test_the_uniform_population_is_in_order_and_counts_its_lines(tmp_path: Path) -> None:
    lines = Uniform("uniform", users=7, events_files=1, per_day=FILES * 10).write(tmp_path, seed=1)
    files = sorted((tmp_path / "events").glob("*.json.gz"))
    rows = [json.loads(line) for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]
    assert (len(files), lines) == (DAYS * FILES, DAYS * FILES * 10)
    assert [row["id"] for row in rows] == [f"e{n}" for n in range(lines)]
    assert [row["ts"] for row in rows] == sorted(row["ts"] for row in rows)
    assert {row["user"] for row in rows} == {f"u{n}" for n in range(7)}
    assert (rows[0]["ts"], rows[-1]["ts"][:10]) == ("2025-03-03T00:00:00.000Z", f"2025-03-{2 + DAYS:02}")
