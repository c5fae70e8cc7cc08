"""Two workers train one encoder; a process that is killed on the way costs the epoch that it was in."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from recsys import archive
from recsys.encoder.order import Begin, carry_out
from recsys.encoder.trained import TrainedEncoder
from tests.cluster.family import descendants
from tests.cluster.standalone import ROOT, Daemon, environment, standalone
from tests.cluster.submitted import LITTLE, lines_of
from tests.encoder.ordered import order_of, written
from tests.encoder.test_train import SMALL, chains

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

EPOCHS = 40  # enough for one of them to be under way when the process is killed


def rank_of(worker: Daemon) -> int:
    """The process that trains on that worker: what torchrun started, not torchrun itself."""
    below = descendants(worker.process.pid)
    words = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in below}
    (found,) = [pid for pid, said in words.items() if any(w.endswith(b"train.py") for w in said) and b"-m" not in said]
    return found


def test_two_workers_train_one_encoder_and_a_killed_process_is_started_again(tmp_path: Path) -> None:
    archive.build(ROOT / "dist" / "recsys.zip")
    wanted = SMALL.model_copy(update={"epochs": EPOCHS, "patience": EPOCHS, "processes": 2})
    order = order_of(tmp_path, "shared", written(chains(300), tmp_path / "sequences"), wanted)
    (tmp_path / "order.json").write_text(order.model_dump_json())
    options = [part for key, value in LITTLE.items() for part in ("--conf", f"{key}={value}")]
    lines, killed = list[str](), False
    with standalone(tmp_path / "nodes", environment(tmp_path / "env"), {}) as cluster:
        workers = [cluster.add_worker() for _ in range(2)]
        probe = cluster.submit(
            ROOT / "tests" / "cluster" / "rank_probe.py", str(tmp_path / "order.json"), options=options
        )
        for line in lines_of(probe):
            lines.append(line)
            if not killed and line.startswith('{"epoch"'):
                os.kill(rank_of(workers[1]), signal.SIGKILL)
                killed = True
    assert probe.returncode == 0, "".join(line[:500] for line in lines if "Error" in line or line.startswith("  File"))
    epochs = [json.loads(line)["epoch"] for line in lines if line.startswith('{"epoch"')]
    assert [epoch["epoch"] for epoch in epochs] == list(range(1, EPOCHS + 1))  # each told once
    goes_on = [json.loads(line) for line in lines if "training goes on from a checkpoint" in line]
    assert 0 < goes_on[0]["epochs"] < EPOCHS  # it was killed at work, and its epochs were not trained again
    refused = [json.loads(line)["refused"] for line in lines if line.startswith('{"refused"')]
    assert refused[0].startswith("encoder.processes is 3, but the cluster runs 2 tasks at once")
    assert "spark.task.resource.gpu.amount is 0" in refused[1]
    assert not order.checkpoint.with_suffix(".ranks").exists()
    alone = order.model_copy(update={"folder": tmp_path / "alone", "checkpoint": tmp_path / "alone.safetensors"})
    logs = carry_out(alone, Begin(), lambda _: None)
    np.testing.assert_allclose([e["loss"] for e in epochs[:5]], [e.loss for e in logs[:5]], rtol=1e-4)
    np.testing.assert_allclose(epochs[-1]["loss"], logs[-1].loss, rtol=0.02)
    assert TrainedEncoder.load(order.folder).vocabulary == TrainedEncoder.load(alone.folder).vocabulary
