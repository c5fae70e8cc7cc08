"""The chain on a standalone cluster, one worker of which dies on the way, beside the first night of this process."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from recsys import archive
from recsys.pseudonyms import KEY_VARIABLE
from tests.cluster.family import descendants, runs_python, watched
from tests.cluster.standalone import ROOT, Daemon, Standalone, environment, standalone
from tests.cluster.submitted import LITTLE, errors, lines_of
from tests.nights.night import FIRST, SMALL, make

KILL_AT = '"query started", "query": "events"'  # the second batch of a stream that has state


@dataclass
class Ran:
    """What the run on the cluster left."""

    folder: Path
    key: str
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


def chain(folder: Path, key: str, beside: Callable[[], object]) -> Ran:
    """Build the archive, and run the chain; what comes `beside` the night has time: much of it is waiting."""
    archive.build(ROOT / "dist" / "recsys.zip")
    ran = Ran(folder, key)
    _on_cluster(ran, folder / "shop", environment(folder / "env"), beside)
    return ran


def _settings(folder: Path, source: str, **more: object) -> str:
    """A night's settings with all paths below `folder`, as a file."""
    folder.mkdir()
    paths = {name: f"{folder.as_uri()}/{name}" for name in ("checkpoints", "artifacts")}
    paths |= {"warehouse": f"{folder.as_uri()}/tables", "source": source}
    (folder / "night.yaml").write_text(yaml.safe_dump(paths | SMALL | more))
    return str(folder / "night.yaml")


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


def _on_cluster(ran: Ran, shop: Path, python: Path, beside: Callable[[], object]) -> None:
    """Two submitted jobs: the stream over the first days, then the night of the last; a worker dies in that."""
    catalogue = (shop / "catalogue.jsonl.gz").as_uri()
    conf = ["--conf", _settings(ran.folder / "cluster", (shop / "events").as_uri(), catalogue=catalogue)]
    with standalone(ran.nodes, python, {KEY_VARIABLE: ran.key}) as cluster:
        workers = [cluster.add_worker() for _ in range(2)]
        make(shop, "1..3")
        stream = _submit(ran, cluster, "stream.py", *conf)
        said = list(lines_of(stream))
        assert stream.returncode == 0, errors(said)
        make(shop, "4")
        night = _submit(ran, cluster, "nightly.py", *conf, "--date", FIRST.isoformat())
        roots = {f"worker{n}": worker.process.pid for n, worker in enumerate(workers)} | {"driver": night.pid}
        with watched(roots) as ran.family, ThreadPoolExecutor(1) as pool:
            followed = pool.submit(_follow, ran, night, workers[1])
            beside()
            followed.result()
        assert night.returncode == 0, errors(ran.lines)


def _follow(ran: Ran, night: subprocess.Popen[str], worker: Daemon) -> None:
    """Note what the night prints; the worker dies on the way."""
    for line in lines_of(night):
        ran.lines.append(line)
        if not ran.killed and KILL_AT in line:
            ran.killed = line
            _kill_at_work(worker)
