"""What is submitted to a test's cluster: its sizes, and what it says."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence

from tests.cluster.standalone import ROOT

STACK = "-Xss8m"  # the one that all drivers get
LITTLE = {  # sizes of a test, and Delta's jars from the clone's cache
    "spark.driver.extraJavaOptions": STACK,
    "spark.executor.extraJavaOptions": STACK,
    "spark.executor.cores": "1",
    "spark.executor.memory": "1g",
    "spark.driver.memory": "2g",
    "spark.sql.shuffle.partitions": "2",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.jars.ivy": str(ROOT / ".cache" / "ivy"),
}


def lines_of(process: subprocess.Popen[str], patience_s: float = 900) -> Iterator[str]:
    """The lines that a submitted job prints, until it ends; it is killed when patience is over."""
    guard = threading.Timer(patience_s, os.killpg, (process.pid, signal.SIGKILL))
    guard.start()
    try:
        with process:
            yield from process.stdout or ()
    finally:
        guard.cancel()


def errors(lines: Sequence[str]) -> str:
    """What a failed job said: the beginning of each error, for a trace's cause stands first, then its last lines."""
    signs = ('"level": "ERROR"', "OutOfMemory", "StackOverflow")
    told = [line[:3000] for line in lines if any(sign in line for sign in signs)]
    return "\n".join([*told, *(line[:300] for line in lines[-30:])])
