"""A Spark standalone master and its workers as separate processes on loopback, with a Python that lacks `recsys`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyspark

from recsys import java

ROOT = Path(__file__).resolve().parent.parent.parent
SPARK_HOME = Path(pyspark.__file__).parent
MASTER, WORKER = "org.apache.spark.deploy.master.Master", "org.apache.spark.deploy.worker.Worker"
LOOPBACK = ("--host", "127.0.0.1", "--port", "0", "--webui-port", "0")


def environment(folder: Path) -> Path:
    """A virtual environment with all packages of this one except `recsys`; returns its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--symlinks", folder], check=True)
    python = folder / "bin" / "python"
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not re.match(r"(__editable__+\.?)?recsys", entry.name) and entry.name != "__pycache__":
            (site / entry.name).symlink_to(entry)
    return python


def variables(**more: str) -> dict[str, str]:
    """This process's variables without those that lead Spark or Python to the checkout, or MLflow to another store."""
    java.ensure()
    led = ("SPARK_", "PYSPARK_", "PYTHON", "VIRTUAL_ENV", "RECSYS_", "MLFLOW_")
    bare = {key: value for key, value in os.environ.items() if not key.startswith(led)}
    return bare | {"SPARK_HOME": str(SPARK_HOME), "SPARK_LOCAL_IP": "127.0.0.1", "OMP_NUM_THREADS": "1"} | more


@dataclass(frozen=True)
class Daemon:
    """A master or worker with its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait_for(self, pattern: str, patience_s: float = 90.0) -> str:
        """The first group of `pattern` in the log, once it is there."""
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            found = re.search(pattern, self.log.read_text(errors="replace"))
            if found:
                return found.group(1)
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise TimeoutError(f"{self.log} never showed {pattern!r}:\n{self.log.read_text(errors='replace')[-2000:]}")


@dataclass
class Standalone:
    """A running cluster. `secrets` are variables that every node has and no Spark setting names."""

    folder: Path
    python: Path
    secrets: Mapping[str, str]
    stack: ExitStack
    url: str = ""
    workers: list[Daemon] = field(default_factory=list)

    def start(self, name: str, arguments: Sequence[str]) -> Daemon:
        """Start a daemon in its private folder; it ends with the cluster."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        command = [str(SPARK_HOME / "bin" / "spark-class"), *arguments]
        env = variables(SPARK_LOCAL_DIRS=str(folder / "local"), SPARK_DAEMON_MEMORY="384m", **self.secrets)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.stack.callback(end, process)
        return Daemon(process, folder / "log")

    def add_worker(self, properties: Path | None = None) -> Daemon:
        """Start one more worker with one core and wait until the master knows it."""
        name = f"worker{len(self.workers)}"
        options = ["--cores", "1", "--memory", "2g", "--work-dir", str(self.folder / name / "work")]
        options += ["--properties-file", str(properties)] if properties else []
        worker = self.start(name, [WORKER, *LOOPBACK, *options, self.url])
        worker.wait_for(r"(Successfully registered) with master")
        self.workers.append(worker)
        return worker

    def submit(self, script: Path, *arguments: str, options: Sequence[str] = ()) -> subprocess.Popen[str]:
        """spark-submit as docs/cluster.md tells it, from a clone's folder."""
        submit = [str(SPARK_HOME / "bin" / "spark-submit"), "--master", self.url, "--py-files", "dist/recsys.zip"]
        submit += ["--properties-file", "conf/cluster.properties", *options]
        submit += ["--conf", f"spark.pyspark.python={self.python}", "--conf", "spark.driver.host=127.0.0.1"]
        return subprocess.Popen(
            [*submit, str(script), *arguments],
            cwd=ROOT,
            env=variables(**self.secrets),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a daemon and what it started: they share a process group of their own."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)


@contextmanager
def standalone(folder: Path, python: Path, secrets: Mapping[str, str]) -> Iterator[Standalone]:
    """A master without workers; everything that is started here has ended afterwards."""
    with ExitStack() as stack:
        cluster = Standalone(folder, python, secrets, stack)
        master = cluster.start("master", [MASTER, *LOOPBACK])
        cluster.url = master.wait_for(r"Starting Spark master at (spark://\S+)")
        master.wait_for(r"(New state: ALIVE)")
        yield cluster
