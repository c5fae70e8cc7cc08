"""A registered bundle over HTTP: `mlflow models serve`, without Spark and without the files that it was made from."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest

from recsys.config import Settings
from recsys.registry.bundle import Bundle
from recsys.registry.consumer import Consumer
from tests.registry.conftest import SNAPSHOT_AT, MakeBundle, registered, requests

START_S = 100  # under load; a second or two of CPU time otherwise
Post = Callable[[dict[str, Any]], tuple[int, Any]]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def send(url: str, body: dict[str, Any] | None = None) -> tuple[int, bytes]:
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return int(answer.status), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def wait_for(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Until the server answers; its log where it does not."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            send(f"{url}/ping")
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"the server did not answer in {START_S} s:\n{log.read_text()}")


@pytest.fixture
def bundle(make_bundle: MakeBundle, tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "made" / "b", 1)


@pytest.fixture
def post(bundle: Bundle, store: Settings, tmp_path: Path) -> Iterator[Post]:
    """Sends a body to the champion's server; gives status and answer."""
    version, _ = registered(store, bundle.folder)
    mlflow.MlflowClient().set_registered_model_alias(store.registry.model, store.registry.alias, version)
    shutil.rmtree(tmp_path / "made")
    for folder in ("elsewhere", "without/pyspark"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "without" / "pyspark" / "__init__.py").write_text("raise ImportError('pyspark is absent here')\n")
    store_uri, port, log = mlflow.get_tracking_uri(), free_port(), tmp_path / "server.log"
    own = {"MLFLOW_TRACKING_URI": store_uri, "MLFLOW_REGISTRY_URI": store_uri, "OMP_NUM_THREADS": "1"}
    paths = os.pathsep.join([str(tmp_path / "without"), str(Path(__file__).parents[2])])
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # mlflow calls uvicorn by its name
    model = f"models:/{store.registry.model}@{store.registry.alias}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local"]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, "-p", str(port), "--host", "127.0.0.1"],
            cwd=tmp_path / "elsewhere",
            env=os.environ | own | {"PYTHONPATH": paths, "PATH": path},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(server, url, log)

        def call(body: dict[str, Any]) -> tuple[int, Any]:
            status, text = send(f"{url}/invocations", body)
            return status, json.loads(text)

        yield call
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def test_the_champion_answers_over_http(post: Post, bundle: Bundle) -> None:
    frame = requests("i01", "i02")
    rows = [{"recent": recent, "at": SNAPSHOT_AT, "n": n} for recent, n in zip(frame["recent"], (2, 4), strict=True)]
    status, answer = post({"dataframe_records": rows})
    assert status == 200
    expected = Consumer(bundle).predict(frame.assign(n=[2, 4]))
    found = answer["predictions"]
    assert [row["items"] for row in found] == expected["items"].tolist()
    assert [len(row["items"]) for row in found] == [2, 4]
    for row, scores in zip(found, expected["scores"], strict=True):
        assert row["scores"] == pytest.approx(scores, abs=1e-6)
    assert [row["reasons"] for row in found] == expected["reasons"].tolist()
    assert {row["bundle"] for row in found} == {bundle.id}
    assert [row["snapshot_age"] for row in found] == [0.0, 0.0]

    status, answer = post({"dataframe_records": [{"recent": [{"behaviour": "clik", "event_time": SNAPSHOT_AT}]}]})
    assert status == 400
    assert "Row 0: behaviour 'clik' is unknown. Did you mean 'click'" in answer["message"]
    assert post({"dataframe_records": [{"recent": "everything"}]})[0] == 400
    assert post({"nonsense": 1})[0] == 400
