"""Examples into their table and out again, for the ranker: Spark builds them, PyTorch reads them through Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from functools import reduce
from urllib.parse import unquote, urlparse

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.config import Settings
from recsys.days import days_of
from recsys.encoder.job import Step
from recsys.errors import NoDataError
from recsys.features.backfill import backfill
from recsys.io import View, Warehouse
from recsys.ranking.spark import build_examples, request_share
from recsys.ranking.train import Examples
from recsys.tables import EVENTS, EXAMPLES, ITEM_FEATURES, ITEMS

JOB = "train_ranker"
UTC = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    {
        "request_id": pa.string(),
        "user_id": pa.string(),
        "item_id": pa.string(),
        "at": UTC,
        "label": pa.float32(),
        "draw_chance": pa.float64(),
        "features": pa.list_(pa.float32()),
    }
)


def write_examples(warehouse: Warehouse, settings: Settings, steps: Sequence[Step]) -> dict[str, int]:
    """Write the examples of the time that `steps` span, in place of earlier ones; returns the versions read.

    Each step's labels are featured by the encoder that it starts from: one that had seen a label would flatter the
    similarity. Days whose item features do not cover the present events are backfilled first. Raises NoDataError: no
    target behaviour in that time.
    """
    first, last = steps[0].since, steps[-1].until
    for _ in backfill(warehouse, settings, days_of(first, last)):
        pass  # each chunk says itself what it did
    view, started = warehouse.view(), datetime.now(timezone.utc)
    events, items = view.read(EVENTS), view.read(ITEMS)
    features = view.read(ITEM_FEATURES).where(F.col("day").between(F.lit(first.date()), F.lit(last.date())))
    share = request_share(events, settings, first, last)
    parts = [
        build_examples(events, features, items, str(step.start), settings, step.since, step.until, last, share)
        for step in steps
    ]
    rows = reduce(DataFrame.unionByName, parts)
    commit = warehouse.next_batch(JOB)
    range_ = f"at >= TIMESTAMP '{first:%Y-%m-%d %H:%M:%S.%f} UTC' AND at < TIMESTAMP '{last:%Y-%m-%d %H:%M:%S.%f} UTC'"
    version = warehouse.write(EXAMPLES, rows, commit, replace=range_)
    warehouse.finish(commit, {EXAMPLES.name: version}, started)
    read = {table.name: view.versions[table.name] for table in (EVENTS, ITEM_FEATURES, ITEMS)}
    return read | {EXAMPLES.name: version}


def read_examples(view: View, first: datetime, last: datetime) -> Examples:
    """The examples of [first, last), two moments in UTC, read by the driver: ranker.max_requests bounds them.

    Raises NoDataError: there is none.
    """
    days = F.col("day").between(F.lit(first.date()), F.lit(last.date()))
    files = [unquote(urlparse(file).path) for file in view.read(EXAMPLES).where(days).inputFiles()]
    # With its schema: a file that an earlier release wrote may lack a column, which is NULL there.
    table = ds.dataset(files, schema=SCHEMA, format="parquet").to_table() if files else SCHEMA.empty_table()
    at = table["at"]
    table = table.filter(pc.and_(pc.greater_equal(at, pa.scalar(first, UTC)), pc.less(at, pa.scalar(last, UTC))))
    if not table.num_rows:
        raise NoDataError(f"table 'examples' has no row in [{first}, {last}). Stream events of that time first.")
    table = table.sort_by([("at", "ascending"), ("request_id", "ascending"), ("item_id", "ascending")])
    flat = pc.list_flatten(table["features"].combine_chunks()).to_numpy(zero_copy_only=False)
    codes = [table[name].combine_chunks().dictionary_encode().indices for name in ("request_id", "user_id")]
    request, user = (code.to_numpy(zero_copy_only=False).astype(np.int64) for code in codes)
    return Examples(
        x=np.ascontiguousarray(flat.reshape(table.num_rows, -1), dtype=np.float32),
        y=table["label"].to_numpy().astype(np.float32),
        request=request,
        at=table["at"].cast(pa.int64()).to_numpy(),
        user=user,
        offset=np.log(pc.fill_null(table["draw_chance"], 1.0).to_numpy()).astype(np.float32),
    )
