"""Champion and challenger on the same requests: what the registry decides on. Runs on executors."""

from __future__ import annotations

from datetime import date
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from recsys.config import Settings
from recsys.features.history import F64, from_arrow
from recsys.features.spark import Batches
from recsys.monitor.measure import codes_beyond, ragged_codes
from recsys.monitor.metrics import hits, ndcg_at
from recsys.monitor.spark import frozen_requests
from recsys.registry.compare import Paired
from recsys.topn.recommend import recommend
from recsys.topn.spark import ModelPaths, Models, load_models

PLACES = 10
METRIC = f"ndcg@{PLACES}"
SCHEMA = "user bigint, challenger double, champion double"


def paired_ndcg(
    events: DataFrame, day: date, challenger: ModelPaths, champion: ModelPaths, settings: Settings
) -> Paired:
    """NDCG@10 of both models' lists, made at the start of the business day for the users of that day.

    Both must have learned from nothing of that day. Three numbers a user come to the driver, for evaluate.users users
    at most.
    """
    requests = frozen_requests(events, day, settings).select("user", "at", "recent", "truth")
    rows = requests.mapInArrow(partial(_scores, challenger, champion, settings), SCHEMA).toArrow()
    columns = {name: rows[name].to_numpy() for name in ("user", "challenger", "champion")}
    return Paired(metric=METRIC, **columns)


def _scores(challenger: ModelPaths, champion: ModelPaths, settings: Settings, batches: Batches) -> Batches:
    for batch in batches:
        values = [
            _ndcg(load_models(paths, settings.features, settings.topn), batch, settings)
            for paths in (challenger, champion)
        ]
        yield pa.RecordBatch.from_arrays(
            [batch.column("user"), *map(pa.array, values)], names=["user", "challenger", "champion"]
        )


def _ndcg(models: Models, batch: pa.RecordBatch, settings: Settings) -> F64:
    behaviours = tuple(settings.behaviours)
    history, truth = from_arrow(batch.column("recent"), behaviours), batch.column("truth")
    at = np.asarray(batch.column("at").cast(pa.int64()), dtype=np.int64)
    topn = settings.topn.model_copy(update={"n": PLACES})
    index = models.index
    found = recommend(
        history,
        at,
        models.encoder,
        models.ranker,
        index.snapshot,
        behaviours,
        settings.features,
        topn,
        index,
        ahead=True,
    )
    wanted = ragged_codes(index, codes_beyond(index, [truth.flatten().unique().to_pylist()]), truth)
    return ndcg_at(hits(found.items.padded(PLACES), wanted), wanted.lengths, PLACES)
