import csv
import io
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch

from recsys.config import RankerSettings, Settings
from recsys.monitor.explained import TABLE, bars, log_explained
from recsys.ranking.importance import ATTENDED
from recsys.ranking.train import train_ranker
from recsys.registry import tracking
from tests.ranking.test_attention import settings as attention
from tests.ranking.test_attention import world
from tests.ranking.test_train import NAMES, SMALL, examples


def test_bars_begin_with_the_largest() -> None:
    assert bars("t", NAMES, np.asarray([0.1, 0.3, 0.2])).lines == (
        ("b", 0.3, True),
        ("noise", 0.2, True),
        ("a", 0.1, True),
    )


def test_the_behaviours_attended_to_have_a_line_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    torch.set_num_threads(1)
    learned = attention(explain=200)
    ranker, _ = train_ranker(world(0), learned, 1, ("a", "b"))
    settings = Settings(artifacts=f"{tmp_path}/a", ranker=learned)
    with tracking.run(settings, "ranker", "2026-03-02", {}, {}) as run:
        log_explained(ranker, world(0), settings)
    folder = Path(mlflow.artifacts.download_artifacts(f"runs:/{run}/"))
    found = list(csv.DictReader(io.StringIO((folder / TABLE).read_text())))
    assert [row["feature"] for row in found] == ["a", "b", ATTENDED]
    assert all(max(found, key=lambda row: float(row[figure])) == found[-1] for figure in ("permutation", "gradients"))


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
