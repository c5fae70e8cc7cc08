"""GPU settings without a GPU: an address that the discovery script found becomes the device of a task on a cluster."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from recsys import archive
from tests.cluster.standalone import ROOT, environment, standalone
from tests.cluster.submitted import LITTLE, lines_of

SCRIPT = ROOT / "conf" / "gpu-discovery.sh"
WORKER = {"spark.worker.resource.gpu.amount": 1, "spark.worker.resource.gpu.discoveryScript": SCRIPT}


def path_with(folder: Path, smi: str) -> str:
    """A PATH on which `nvidia-smi` is the given shell script."""
    folder.mkdir()
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{smi}\n")
    (folder / "nvidia-smi").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def discover(path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT], env={"PATH": path}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("printed", "addresses"), [("0", ["0"]), ("0\\n1\\n", ["0", "1"]), ("3\\n11\\n7\\n", ["3", "11", "7"])]
)
def test_script_prints_what_spark_reads(tmp_path: Path, printed: str, addresses: list[str]) -> None:
    found = discover(path_with(tmp_path / "bin", f"printf '{printed}'"))
    assert json.loads(found.stdout) == {"name": "gpu", "addresses": addresses}


@pytest.mark.parametrize("smi", ["exit 9", "true"])  # no driver; no GPU
def test_script_fails_where_there_is_no_gpu(tmp_path: Path, smi: str) -> None:
    found = discover(path_with(tmp_path / "bin", smi))
    assert found.returncode != 0
    assert found.stdout == ""


@pytest.mark.cluster
@pytest.mark.timeout(1200)
def test_address_becomes_the_device_of_a_task(tmp_path: Path) -> None:
    archive.build(ROOT / "dist" / "recsys.zip")
    properties = tmp_path / "worker.properties"
    properties.write_text("".join(f"{key} {value}\n" for key, value in WORKER.items()))
    nodes = {"PATH": path_with(tmp_path / "bin", "echo 7"), "CUDA_VISIBLE_DEVICES": ""}
    options = [part for key, value in LITTLE.items() for part in ("--conf", f"{key}={value}")]
    with standalone(tmp_path / "nodes", environment(tmp_path / "env"), nodes) as cluster:
        cluster.add_worker(properties)
        probe = cluster.submit(ROOT / "tests" / "cluster" / "gpu_probe.py", str(tmp_path), options=options)
        lines = list(lines_of(probe))
    found = [json.loads(line)["found"] for line in lines if line.startswith('{"found"')]
    assert found == [[{"device": "cuda:7", "order": "PCI_BUS_ID"}]], "".join(lines[-40:])
    # The embedding gets the same device: without CUDA it must say so rather than quietly use the CPU.
    assert probe.returncode != 0
    assert any("ConfigError: The task was given cuda:7, but PyTorch" in line for line in lines), "".join(lines[-40:])
