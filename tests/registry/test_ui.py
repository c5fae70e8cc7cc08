"""MLflow's own pages show our runs and our model, in a headless Chromium; skipped where there is none."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import mlflow
import pytest

from recsys.config import Settings
from recsys.registry.tracking import log_epoch, run
from tests.registry.conftest import MakeBundle, registered
from tests.registry.test_serving import free_port, wait_for

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the PATH draws MLflow's pages"),
    pytest.mark.timeout(600),
]
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-extensions", "--window-size=1400,1000",
)  # fmt: skip
PAGE_MS = 30_000  # of the page's own clock, which stands still while it waits for the server
Page = Callable[[str], str]


@dataclass(frozen=True)
class Epoch:
    """What a training logs of an epoch."""

    epoch: int
    loss: float
    speed: float = 1.0


def drawn(url: str, folder: Path) -> str:
    """The page's elements as they are after its scripts have run."""
    own = (f"--user-data-dir={folder}", f"--virtual-time-budget={PAGE_MS}", "--dump-dom")
    done = subprocess.run([str(BROWSER), *QUIET, *own, url], capture_output=True, text=True, check=True, timeout=300)
    return done.stdout


@pytest.fixture
def page(store: Settings, tmp_path: Path) -> Iterator[Page]:
    """`page("models/x")` is that page of an MLflow server on the store."""
    uri, port, log = mlflow.get_tracking_uri(), free_port(), tmp_path / "ui.log"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--workers", "1"]
    own = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}  # mlflow calls uvicorn
    own["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=tmp_path, env=os.environ | own, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        wait_for(server, f"http://127.0.0.1:{port}", log)
        yield lambda path: drawn(f"http://127.0.0.1:{port}/#/{path}", tmp_path / "browser")
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def trained(store: Settings, name: str, params: Mapping[str, object]) -> tuple[str, str]:
    """A run of the ranker as our jobs log one; its id and its experiment's."""
    with run(store, "ranker", name, params, {"examples": 3}) as id_:
        for epoch in range(2):
            log_epoch(Epoch(epoch, 0.5 - epoch / 10))
    return id_, str(mlflow.get_run(id_).info.experiment_id)


def shows(page: str, *texts: str) -> None:
    """Fail where the drawn page lacks one of the texts."""
    assert [text for text in texts if text not in page] == []


def test_runs_their_comparison_and_the_model_are_drawn(
    store: Settings, page: Page, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    (one, experiment), (two, _) = (trained(store, f"2025-03-0{day}", {"epochs": 46_100 + day}) for day in (6, 7))
    version, _ = registered(store, make_bundle(tmp_path / "made", 1).folder)
    mlflow.MlflowClient().set_registered_model_alias(store.registry.model, store.registry.alias, version)
    shows(page(f"experiments/{experiment}/runs/{one}"), "2025-03-06", "epochs", "46106", "loss", "table.examples")
    both, place = quote(json.dumps([one, two])), quote(json.dumps([experiment]))
    compared = page(f"compare-runs?runs={both}&experiments={place}")
    shows(compared, "2025-03-06", "2025-03-07", "46106", "46107", "loss")
    shows(page(f"models/{store.registry.model}"), store.registry.model, f"Version {version}", store.registry.alias)
