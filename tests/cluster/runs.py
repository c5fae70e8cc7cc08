"""The chain, once on a standalone cluster, one worker of which dies on the way, and once in this process."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from jobs import nightly, simulate
from recsys import archive
from recsys.io import View, Warehouse
from recsys.job import run
from recsys.pseudonyms import KEY_VARIABLE
from tests.cluster.family import descendants, runs_python, watched
from tests.cluster.standalone import ROOT, Daemon, Standalone, environment, standalone
from tests.jobs.conftest import own_process
from tests.jobs.night import SMALL, Lines, progress_log

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SHOP = ("users=250", "items=150", "events_per_day=2000", "cluster_items=15", "bots=2")
DAY = "2025-03-06"  # day 4 of the shop: 1 and 2 train the base encoder, 3 the ranker, 4 tests
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
KILL_AT = '"query started", "query": "events"'  # the second batch of a stream that has state


@dataclass
class Ran:
    """What the two runs left."""

    folder: Path
    key: str = field(default_factory=lambda: secrets.token_hex(32))
    lines: list[str] = field(default_factory=list)  # what the night printed on the cluster
    family: dict[str, set[int]] = field(default_factory=dict)  # worker0, worker1, driver -> all their processes
    killed: str = ""  # line at which worker1 was killed

    @property
    def nodes(self) -> Path:
        """Private folders of master and workers, their logs, and the applications' event logs."""
        return self.folder / "nodes"

    @property
    def event_logs(self) -> Path:
        """What Spark wrote about the submitted applications."""
        return self.nodes / "eventlog"

    def view(self, spark: SparkSession, run: str) -> View:
        """The tables of the run `cluster` or `local`."""
        return Warehouse(spark, str(self.folder / run / "tables")).view()


def chain(folder: Path, spark: SparkSession) -> Ran:
    """Build the archive, then both runs; the local one beside the cluster's night, much of which is waiting."""
    archive.build(ROOT / "dist" / "recsys.zip")
    ran = Ran(folder)
    _on_cluster(ran, folder / "shop", environment(folder / "env"), spark)
    return ran


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


def _settings(folder: Path, source: str, **more: object) -> str:
    """A night's settings with all paths below `folder`, as a file."""
    folder.mkdir()
    paths = {name: f"{folder.as_uri()}/{name}" for name in ("checkpoints", "artifacts")}
    paths |= {"warehouse": f"{folder.as_uri()}/tables", "source": source}
    (folder / "night.yaml").write_text(yaml.safe_dump(paths | SMALL | more))
    return str(folder / "night.yaml")


def _make(shop: Path, days: str) -> None:
    assert simulate.main(["--out", str(shop), "--days", days, *(f"--set={s}" for s in SHOP)]) == 0


def _submit(ran: Ran, cluster: Standalone, job: str, *arguments: str) -> subprocess.Popen[str]:
    ran.event_logs.mkdir(exist_ok=True)
    logged = {"enabled": "true", "compress": "false", "dir": ran.event_logs.as_uri()}
    spark = LITTLE | {f"spark.eventLog.{key}": value for key, value in logged.items()}
    options = [part for key, value in spark.items() for part in ("--conf", f"{key}={value}")]
    return cluster.submit(Path("jobs") / job, "--conf", "conf/cluster.yaml", *arguments, options=options)


def _kill_at_work(worker: Daemon, patience_s: float = 300) -> None:
    """Wait until a task calls Python there, then be a machine that is gone: worker, executor, Python processes."""
    until = time.monotonic() + patience_s
    while not runs_python(worker.process.pid):
        assert time.monotonic() < until, "the worker got no task to do"
        time.sleep(0.05)
    for pid in (worker.process.pid, *descendants(worker.process.pid)):
        with suppress(ProcessLookupError):  # a child may follow its parent
            os.kill(pid, signal.SIGKILL)


def _on_cluster(ran: Ran, shop: Path, python: Path, spark: SparkSession) -> None:
    """Two submitted jobs: the stream over the first days, then the night of the last; a worker dies in that."""
    catalogue = (shop / "catalogue.jsonl.gz").as_uri()
    conf = ["--conf", _settings(ran.folder / "cluster", (shop / "events").as_uri(), catalogue=catalogue)]
    with standalone(ran.nodes, python, {KEY_VARIABLE: ran.key}) as cluster:
        workers = [cluster.add_worker() for _ in range(2)]
        _make(shop, "1..3")
        stream = _submit(ran, cluster, "stream.py", *conf)
        said = list(lines_of(stream))
        assert stream.returncode == 0, errors(said)
        _make(shop, "4")
        night = _submit(ran, cluster, "nightly.py", *conf, "--date", DAY)
        roots = {f"worker{n}": worker.process.pid for n, worker in enumerate(workers)} | {"driver": night.pid}
        with watched(roots) as ran.family, ThreadPoolExecutor(1) as beside:
            followed = beside.submit(_follow, ran, night, workers[1])
            _on_this_machine(ran, shop, spark)
            followed.result()
        assert night.returncode == 0, errors(ran.lines)


def _follow(ran: Ran, night: subprocess.Popen[str], worker: Daemon) -> None:
    """Note what the night prints; the worker dies on the way."""
    for line in lines_of(night):
        ran.lines.append(line)
        if not ran.killed and KILL_AT in line:
            ran.killed = line
            _kill_at_work(worker)


def _on_this_machine(ran: Ran, shop: Path, spark: SparkSession) -> None:
    """The same night in this process and its session, all days at once; its key comes from a file."""
    (ran.folder / "key").write_text(ran.key)
    conf = _settings(ran.folder / "local", str(shop / "events"), pseudonym_key_file=str(ran.folder / "key"))
    said = Lines()
    with own_process(), progress_log(spark):
        logging.getLogger("recsys").addHandler(said)
        code = run(nightly.JOB, nightly.main, ["--conf", conf, "--date", DAY])
    assert code == 0, [line for line in said.found if line["level"] != "INFO"]
