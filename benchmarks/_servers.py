"""Servers as processes of their own, each on one core, with one thread for arithmetic."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import mlflow

from benchmarks._record import ROOT
from recsys.errors import RecsysError

START_S = 180
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@contextmanager
def serving(settings: Sequence[str], cores: set[int], log: Path) -> Iterator[int]:
    """Our server with these settings (`section.key=value`); its port."""
    port = _free_port()
    options = [word for setting in settings for word in ("--set", setting)]
    with _process(["-m", "recsys.serving", "--port", str(port), *options], cores, log, port, "/health"):
        yield port


@contextmanager
def mlflow_serving(model: str, cores: set[int], log: Path) -> Iterator[int]:
    """`mlflow models serve` of a model; its port."""
    port = _free_port()
    command = ["-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local", "-p", str(port)]
    with _process([*command, "--host", "127.0.0.1"], cores, log, port, "/ping"):
        yield port


@contextmanager
def _process(command: Sequence[str], cores: set[int], log: Path, port: int, path: str) -> Iterator[None]:
    uri = mlflow.get_tracking_uri()
    own = ONE_THREAD | {"MLFLOW_TRACKING_URI": uri, "MLFLOW_REGISTRY_URI": uri, "PYTHONPATH": _paths()}
    own["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # MLflow calls uvicorn
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, *command],
            cwd=log.parent,
            env=os.environ | own,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
    try:
        _wait(server, port, path, log)
        yield
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


def _wait(server: subprocess.Popen[bytes], port: int, path: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            line.request("GET", path)
            if line.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.2)
        finally:
            line.close()
    raise RecsysError(f"the server on port {port} did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _paths() -> str:
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
