"""The bare model: it answers with a constant of our shape, so that what is measured is MLflow's server alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas as pd

from recsys.registry.consumer import SIGNATURE


@dataclass(frozen=True)
class Bare:
    """Answers each row with the same ten items."""

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One row of answers for each row."""
        count = len(model_input)
        texts = [[f"item {n}" for n in range(10)]] * count
        frame: pd.DataFrame = pd.DataFrame(
            {
                "items": texts,
                "scores": [[0.5] * 10] * count,
                "sources": texts,
                "reasons": texts,
                "bundle": ["bare"] * count,
                "snapshot_age": [0.0] * count,
            }
        )
        return frame


def save_bare(folder: Path) -> None:
    """Write the model, which is loaded by the name of this module."""
    (folder.parent / "nothing").mkdir()
    mlflow.pyfunc.save_model(
        str(folder),
        loader_module="benchmarks._bare",
        data_path=str(folder.parent / "nothing"),
        signature=SIGNATURE,
        pip_requirements=[],
    )


def _load_pyfunc(path: str) -> Bare:
    return Bare()
