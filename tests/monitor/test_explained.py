import csv
import io
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch

from recsys.config import RankerSettings, Settings
from recsys.monitor.explained import TABLE, bars, log_explained
from recsys.ranking.train import train_ranker
from recsys.registry import tracking
from tests.ranking.test_train import NAMES, SMALL, examples


def test_bars_begin_with_the_largest() -> None:
    assert bars("t", NAMES, np.asarray([0.1, 0.3, 0.2])).lines == (
        ("b", 0.3, True),
        ("noise", 0.2, True),
        ("a", 0.1, True),
    )


@pytest.mark.parametrize("rows", [200, 0])
def test_a_run_keeps_what_the_ranker_leans_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    torch.set_num_threads(1)
    learned = RankerSettings.model_validate(SMALL.model_dump() | {"explain": rows})
    ranker, _ = train_ranker(examples(0), learned, 1, NAMES)
    settings = Settings(artifacts=f"{tmp_path}/a", ranker=learned)
    with tracking.run(settings, "ranker", "2026-03-02", {}, {}) as run:
        log_explained(ranker, examples(0), settings)
    folder = Path(mlflow.artifacts.download_artifacts(f"runs:/{run}/"))
    assert 0 < mlflow.get_run(run).data.metrics["validation_calibration_error"] < 0.1
    drawn = sorted(path.stem for path in (folder / "plots").iterdir())
    assert drawn == (["importance_gradients", "importance_permutation"] if rows else []) + ["reliability"]
    if rows:
        found = {row["feature"]: row for row in csv.DictReader(io.StringIO((folder / TABLE).read_text()))}
        for figure in ("permutation", "gradients"):
            a, b, noise = (float(found[name][figure]) for name in NAMES)
            assert min(a, b) > 3 * noise  # the label is of a b alone
