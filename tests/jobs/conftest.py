"""Jobs in this process: a log of their own, a registry of their own, and settings in a file."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from recsys.pseudonyms import KEY_VARIABLE

ROOT = Path(__file__).resolve().parents[2]
STORES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")


@contextmanager
def own_process() -> Iterator[None]:
    """What a job changes in its process, log handlers and MLflow's address, is put back afterwards."""
    import mlflow

    logger = logging.getLogger("recsys")
    before = logger.handlers[:], logger.level, logger.propagate
    logger.handlers[:] = []
    with pytest.MonkeyPatch.context() as patch:
        for name in (*STORES, KEY_VARIABLE, *(name for name in os.environ if name.startswith("RECSYS__"))):
            patch.setenv(name, "")  # so that what MLflow exports is taken back, too
            patch.delenv(name)
        yield
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    logger.handlers[:], logger.level, logger.propagate = before


def write_conf(folder: Path, **more: Any) -> str:
    """Settings of a warehouse, artifacts and a source below `folder`; returns the file's path."""
    values = {
        "warehouse": f"{folder}/tables",
        "checkpoints": f"{folder}/checkpoints",
        "artifacts": f"{folder}/artifacts",
        "mapping": f"{ROOT}/conf/sources/simulate.yaml",
        "source": f"{folder}/shop/events",
        "pseudonym_key_file": f"{folder}/key",
    }
    path = folder / "conf.yaml"
    path.write_text(yaml.safe_dump(values | more))
    return str(path)


@pytest.fixture
def conf(tmp_path: Path) -> Iterator[str]:
    """A settings file whose folders are empty, read by a job in this process."""
    with own_process():
        yield write_conf(tmp_path)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Artifacts with a migrated registry that holds nothing: MLflow needs seconds to make one."""
    import mlflow

    from recsys.config import Settings
    from recsys.registry.tracking import connect

    folder = tmp_path_factory.mktemp("artifacts")
    with own_process():
        connect(Settings(artifacts=str(folder)))
        mlflow.search_experiments()
    return folder
