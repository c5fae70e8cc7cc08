"""The machine's description and the memory of a family of processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from benchmarks._machine import PeakMemory, cpu_s, described_machine, family, memory_mb

HOLD = "import sys; held = bytearray(b'x' * {size}); print('ready', flush=True); sys.stdin.read()"
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}], check=True)"


def process(proc: Path, pid: int, parent: int, pss_kb: int | None, name: str = "python") -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    (folder / "stat").write_text(f"{pid} ({name}) S {parent} 1 1 0")
    if pss_kb is not None:
        (folder / "smaps_rollup").write_text(f"Rss: {9 * pss_kb} kB\nPss:    {pss_kb} kB\nPss_Dirty: 7 kB\n")


def test_the_family_is_found_at_any_depth(tmp_path: Path) -> None:
    process(tmp_path, 10, 1, 100)
    process(tmp_path, 11, 10, 200)
    process(tmp_path, 12, 11, 300, name="odd) S 1 (name")
    process(tmp_path, 13, 1, 999)
    (tmp_path / "14").mkdir()  # has ended meanwhile
    assert sorted(family(10, tmp_path)) == [10, 11, 12]
    assert memory_mb(10, tmp_path) == pytest.approx(600 * 1024 / 1e6)


def test_a_process_that_hides_its_memory_counts_nothing(tmp_path: Path) -> None:
    process(tmp_path, 10, 1, 100)
    process(tmp_path, 11, 10, None)
    assert memory_mb(10, tmp_path) == pytest.approx(100 * 1024 / 1e6)


def test_the_machine_in_words(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:       25165824 kB\nMemFree: 1 kB\n")
    (tmp_path / "cpuinfo").write_text("processor: 0\nmodel name\t: Some CPU 3000\nmodel name\t: Some CPU 3000\n")
    cores = len(os.sched_getaffinity(0))
    assert described_machine(tmp_path) == f"{cores} core{'s' * (cores > 1)}, 24 GiB, Some CPU 3000"
    assert "memory unknown" in described_machine(tmp_path / "nothing")


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").is_file(), reason="needs Linux's smaps_rollup")
def test_a_grandchild_is_in_the_peak() -> None:
    code = PARENT.format(code=HOLD.format(size=80_000_000))
    before, threads = memory_mb(os.getpid()), threading.active_count()
    command = [sys.executable, "-c", code]
    with (
        PeakMemory(every_s=0.05) as memory,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child,
    ):
        if child.stdout and child.stdin:
            child.stdout.readline()
            now = memory_mb(os.getpid())
            time.sleep(0.5)
            child.stdin.close()
    assert threading.active_count() == threads
    assert now - before > 75
    assert memory.peak_mb > before + 75
    assert memory_mb(os.getpid()) < now - 75


def test_processor_time_is_of_the_family_and_its_ended_children(tmp_path: Path) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    for pid, parent, times in ((10, 1, (1, 2, 4, 8)), (11, 10, (16, 0, 0, 0)), (12, 1, (999, 0, 0, 0))):
        folder = tmp_path / str(pid)
        folder.mkdir()
        spent = " ".join(str(seconds * ticks) for seconds in times)
        (folder / "stat").write_text(f"{pid} (a) b) S {parent} 1 1 0 -1 0 0 0 0 0 {spent} 20 0")
    assert cpu_s(10, tmp_path) == 31
