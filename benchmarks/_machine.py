"""The machine in words, and the memory and processor time of a process with all that it started."""

from __future__ import annotations

import os
import platform
import re
import threading
from pathlib import Path

SAMPLE_S = 1.0


def described_machine(proc: Path = Path("/proc")) -> str:
    """Cores that this process may use, memory and CPU model in words: `2 cores, 23 GiB, AMD EPYC`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = re.search(r"MemTotal:\s+(\d+) kB", _text(proc / "meminfo"))
    model = re.search(r"model name\s*:\s*(.+)", _text(proc / "cpuinfo"))
    size = f"{int(memory[1]) / 2**20:.0f} GiB" if memory else "memory unknown"
    return f"{cores} core{'s' * (cores != 1)}, {size}, {model[1].strip() if model else platform.machine()}"


class PeakMemory:
    """Largest memory of this process and all below it (Spark's JVM, its Python workers), sampled within `with`."""

    def __init__(self, every_s: float = SAMPLE_S) -> None:
        self.peak_mb = memory_mb(os.getpid())
        self._every = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self._every):
            self.peak_mb = max(self.peak_mb, memory_mb(os.getpid()))


def memory_mb(pid: int, proc: Path = Path("/proc")) -> float:
    """Memory of a process and its descendants, 10^6 bytes. What processes share is counted once."""
    shares = (re.search(r"^Pss:\s+(\d+) kB", _text(proc / str(p) / "smaps_rollup"), re.M) for p in family(pid, proc))
    return sum(int(found[1]) for found in shares if found) * 1024 / 1e6


def cpu_s(pid: int, proc: Path = Path("/proc")) -> float:
    """Seconds of processor time, user and system, of a process, its descendants, and those of them that have ended."""
    ticks = 0
    for p in family(pid, proc):
        fields = _text(proc / str(p) / "stat").rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))  # utime, stime, and the same of children that were waited for
    return ticks / os.sysconf("SC_CLK_TCK")


def family(pid: int, proc: Path = Path("/proc")) -> list[int]:
    """The process and its descendants."""
    below: dict[int, list[int]] = {}
    for folder in proc.glob("[0-9]*"):
        fields = _text(folder / "stat").rpartition(")")[2].split()
        if len(fields) > 1:
            below.setdefault(int(fields[1]), []).append(int(folder.name))
    found = [pid]
    for parent in found:  # grows while it is read: children of children
        found += below.get(parent, [])
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # the process has just ended, or this is no Linux
        return ""
