"""The server as a process of its own: where there is no Spark, from its command line to its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest
import yaml

from recsys.config import Settings
from recsys.registry.bundle import Bundle
from recsys.serving.recommender import Recommender
from recsys.serving.server import main, server_of
from tests.jobs.conftest import own_process
from tests.registry.conftest import SNAPSHOT_AT, registered
from tests.serving.conftest import CLICK, send

START_S = 100


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_process_serves_the_champion_and_stops_when_told(store: Settings, bundle: Bundle, tmp_path: Path) -> None:
    version, _ = registered(store, bundle.folder)
    mlflow.MlflowClient().set_registered_model_alias(store.registry.model, store.registry.alias, version)
    (tmp_path / "conf.yaml").write_text(
        yaml.safe_dump({"artifacts": store.artifacts, "serving": {"host": "127.0.0.1"}})
    )
    (tmp_path / "without" / "pyspark").mkdir(parents=True)
    (tmp_path / "without" / "pyspark" / "__init__.py").write_text("raise ImportError('pyspark is absent here')\n")
    paths = os.pathsep.join(
        [str(tmp_path / "without"), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    )
    port = free_port()
    command = [sys.executable, "-m", "recsys.serving", "--conf", str(tmp_path / "conf.yaml"), "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, stderr=log, cwd=tmp_path, env=os.environ | {"PYTHONPATH": paths})
    try:
        wait_for(server, port, tmp_path / "log")
        status, text = send(port, "/recommend", {"recent": [CLICK], "at": SNAPSHOT_AT})
        assert (status, json.loads(text)["bundle"]) == (200, bundle.id)
        with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
            body = json.dumps({"recent": [CLICK]}).encode()
            head = b"POST /recommend HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
            line.sendall(head % len(body))
            assert line.recv(100).startswith(b"HTTP/1.1 100")  # the request has begun, its body is still to come
            server.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            line.sendall(body)
            assert line.recv(100).startswith(b"HTTP/1.1 200")
        assert server.wait(30) == 0
    finally:
        server.kill()
        server.wait()
    events = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines() if line[:1] == "{"]
    assert events[-2:] == ["serving", "stopped"]


def wait_for(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if send(port, "/health")[0] == 200:
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the server did not answer in {START_S} s:\n{log.read_text()}")


def test_what_keeps_it_from_starting_is_one_sentence(store: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with own_process():
        assert main(["--set", f"artifacts={store.artifacts}"]) == 3
        assert main(["--set", "serving.portt=1"]) == 2
        assert main(["--conf", "nowhere.yaml"]) == 2
    with pytest.raises(SystemExit) as stopped:
        main(["--port", "many"])
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert "has no 'champion' yet" in told


def test_it_listens_to_this_machine_alone_unless_told(recommender: Recommender) -> None:
    assert server_of(recommender, Settings().serving).config.host == "127.0.0.1"
