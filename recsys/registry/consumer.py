"""The loader module of registered models: MLflow imports it from the installed `recsys` and calls `_load_pyfunc`.

It answers with the whole chain (features at `at`, encoder, candidates, ranker, filters) and needs no Spark.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types.schema import AnyType, Array, ColSpec, Object, Property, Schema

from recsys.errors import RequestError
from recsys.registry.bundle import Bundle, load
from recsys.registry.request import Requests, read_requests

# Values are checked by request.py, which names row and field; MLflow checks the shape and shows it to readers.
_BEHAVED = Object(
    [
        Property("behaviour", AnyType(), required=True),
        Property("event_time", AnyType(), required=True),
        *(Property(name, AnyType(), required=False) for name in ("item_id", "price_minor", "quantity", "value")),
    ]
)
_TEXTS = Array("string")
SIGNATURE = ModelSignature(
    inputs=Schema(
        [
            ColSpec(Array(_BEHAVED), "recent"),
            ColSpec(AnyType(), "n", required=False),
            ColSpec(AnyType(), "at", required=False),
        ]
    ),
    outputs=Schema(
        [
            ColSpec(_TEXTS, "items"),
            ColSpec(Array("double"), "scores"),
            ColSpec(_TEXTS, "sources"),
            ColSpec(_TEXTS, "reasons"),
            ColSpec("string", "bundle"),
            ColSpec("double", "snapshot_age"),
        ]
    ),
)


@dataclass(frozen=True, eq=False)
class Consumer:
    """What `mlflow.pyfunc.load_model` gives: a bundle that answers requests."""

    bundle: Bundle

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One row of answers for each row of `model_input`.

        In: `recent` (a list of behaviours: `behaviour`, `event_time` as ISO 8601 or microseconds since 1970 UTC,
        optional `item_id`, `price_minor`, `quantity`, `value`), optional `n` and `at`. Out, best item first: `items`,
        `scores` (probabilities), `sources`, `reasons`; `bundle` (id) and `snapshot_age` (seconds from the item
        snapshot to `at`). `params` is not used.

        Raises MlflowException (INVALID_PARAMETER_VALUE, over HTTP 400): what `read_requests` refuses.
        """
        manifest = self.bundle.manifest
        now = time.time_ns() // 1000
        try:
            rows = [{str(key): value for key, value in row.items()} for row in model_input.to_dict("records")]
            asked = read_requests(rows, manifest.names, self.bundle.engaged, manifest.features.k, manifest.topn.n, now)
        except RequestError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        return answer(self.bundle, asked)


def answer(bundle: Bundle, asked: Requests) -> pd.DataFrame:
    """The answers to checked requests, one row each."""
    found = bundle.recommend(asked.histories, asked.at, int(asked.n.max(initial=1)))
    starts = found.items.offsets[:-1]
    ends = np.minimum(starts + asked.n, found.items.offsets[1:])
    cuts = [slice(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]
    items = [bundle.snapshot.items[row] for row in found.items.values]
    scores, sources, reasons = found.score.astype(float).tolist(), found.source.to_pylist(), found.reason.to_pylist()
    columns = {
        "items": [items[cut] for cut in cuts],
        "scores": [scores[cut] for cut in cuts],
        "sources": [sources[cut] for cut in cuts],
        "reasons": [reasons[cut] for cut in cuts],
        "bundle": bundle.id,
        "snapshot_age": (asked.at - bundle.snapshot.at) / 1e6,
    }
    frame: pd.DataFrame = pd.DataFrame(columns)
    return frame


def _load_pyfunc(path: str) -> Consumer:
    """Verify and load the bundle that MLflow downloaded to `path`. BundleError: what `bundle.load` refuses."""
    bundle = load(Path(path))
    _ = bundle.index  # the first request should not wait for it
    return Consumer(bundle)
