"""Examples into their table and out again, for the ranker: Spark builds them, PyTorch reads them through Arrow."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import reduce
from pathlib import Path
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
from recsys.features.definitions import feature_names
from recsys.features.stored import stored_item_features
from recsys.features.windows import Bool
from recsys.io import View, Warehouse
from recsys.past import view_of
from recsys.ranking.pinned import Pinned, PinnedStep, fingerprint, folder_hash, rests_on
from recsys.ranking.recent import COLUMNS, Recent
from recsys.ranking.replay import drawn
from recsys.ranking.spark import build_examples, request_share
from recsys.ranking.train import Examples
from recsys.tables import COVERAGE, EVENTS, EXAMPLES, ITEM_FEATURES, ITEMS

JOB = "train_ranker"
READ = (EVENTS, ITEM_FEATURES, COVERAGE, ITEMS)
# They cut users into batches, and a row's last bits depend on its batch.
OF_SPARK = ("spark.sql.shuffle.partitions", "spark.sql.execution.arrow.maxRecordsPerBatch")
UTC = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    {
        "request_id": pa.string(),
        "user_id": pa.string(),
        "item_id": pa.string(),
        "at": UTC,
        "label": pa.float32(),
        "outcomes": pa.list_(pa.string()),
        "draw_chance": pa.float64(),
        "position": pa.int32(),
        "features": pa.list_(pa.float32()),
    }
)


def write_examples(
    warehouse: Warehouse, settings: Settings, steps: Sequence[Step], pinned: Pinned | None = None
) -> dict[str, int]:
    """Write the examples of the time that `steps` span, in place of earlier ones; returns the versions read.

    Each step's labels are featured by the encoder that it starts from: one that had seen a label would flatter the
    similarity. Days whose item features do not cover the present events are backfilled first. With `pinned` the tables
    are read as they were then, and `steps` are `steps_again(pinned)`.
    Raises NoDataError: no target behaviour in that time. Of `pinned`: VersionGoneError, and what Pinned.require raises.
    """
    first, last = steps[0].since, steps[-1].until
    if pinned is not None:
        pinned.require(_rests_on(warehouse, settings))
        view = view_of(warehouse, pinned.tables)
    else:
        for _ in backfill(warehouse, settings, days_of(first, last)):
            pass  # each chunk says itself what it did
        view = warehouse.view()
    started = datetime.now(timezone.utc)
    events, items = view.read(EVENTS), view.read(ITEMS)
    features = stored_item_features(view, settings.features, first.date(), last.date())
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
    read = {table.name: view.versions[table.name] for table in READ}
    return read | {EXAMPLES.name: version}


def pinned_of(
    warehouse: Warehouse, settings: Settings, steps: Sequence[Step], versions: Mapping[str, int], rows: pa.Table
) -> Pinned:
    """What `example_rows` were made of: `versions` is what `write_examples` gave."""
    own = [(step.start, step.since, step.until) for step in steps]
    return Pinned(
        tables={table.name: versions[table.name] for table in READ},
        steps=tuple(PinnedStep(start=str(s), since=a, until=b, encoder=folder_hash(s)) for s, a, b in own),
        settings=_rests_on(warehouse, settings),
        rows=rows.num_rows,
        sha256=fingerprint(rows),
    )


def steps_again(pinned: Pinned) -> list[Step]:
    """The steps whose examples are pinned; nothing is to be trained, so nothing is kept where they began."""
    return [Step(start=Path(s.start), since=s.since, until=s.until, folder=Path(s.start)) for s in pinned.steps]


def _rests_on(warehouse: Warehouse, settings: Settings) -> dict[str, str]:
    return rests_on(settings, {name: str(warehouse.spark.conf.get(name)) for name in OF_SPARK})


def example_rows(view: View, first: datetime, last: datetime, *, attended: bool = False) -> pa.Table:
    """Rows of SCHEMA of [first, last), two moments in UTC, read by the driver: ranker.max_requests bounds them.

    Ascending by (at, request_id, item_id); `attended`: with what candidates attend to. Raises NoDataError: there is
    none.
    """
    schema = pa.schema([*SCHEMA, *(pa.field(*column) for column in COLUMNS.items() if attended)])
    days = F.col("day").between(F.lit(first.date()), F.lit(last.date()))
    files = [unquote(urlparse(file).path) for file in view.read(EXAMPLES).where(days).inputFiles()]
    # With its schema: a file that an earlier release wrote may lack a column, which is NULL there.
    table = ds.dataset(files, schema=schema, format="parquet").to_table() if files else schema.empty_table()
    at = table["at"]
    table = table.filter(pc.and_(pc.greater_equal(at, pa.scalar(first, UTC)), pc.less(at, pa.scalar(last, UTC))))
    if not table.num_rows:
        raise NoDataError(f"table 'examples' has no row in [{first}, {last}). Stream events of that time first.")
    order: list[tuple[str, str]] = [(name, "ascending") for name in ("at", "request_id", "item_id")]
    return table.sort_by(order)


def replayed_rows(view: View, new: pa.Table, first: datetime, settings: Settings) -> pa.Table:
    """What an increment on `new`, rows of `example_rows` from `first` on, learns once more: see replay.drawn.

    From the `ranker.days` days before `first`; no rows where none are stored, or `ranker.replay` is 0.
    """
    if not settings.ranker.replay:
        return new.slice(0, 0)
    attended, since = settings.ranker.attention > 0, first - timedelta(days=settings.ranker.days)
    try:
        older = example_rows(view, since, first, attended=attended)
    except NoDataError:
        return new.slice(0, 0)
    return drawn(older, new, settings.ranker.replay, len(feature_names(settings.features)), settings.seed)


def as_examples(table: pa.Table, tasks: Collection[str] = (), behaviours: Collection[str] = ()) -> Examples:
    """What the ranker learns from, in the order of the rows; with `tasks` also which of these, by name, followed.

    `behaviours` are the names of the codes of what candidates attend to, where the rows have it.
    """
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
        position=pc.fill_null(table["position"], 0).to_numpy(),
        outcomes=_outcomes(table["outcomes"].combine_chunks(), sorted(tasks)) if tasks else None,
        recent=Recent.from_arrow(table) if set(COLUMNS) <= set(table.column_names) else None,
        behaviours=tuple(behaviours),
    )


def _outcomes(lists: pa.ListArray, tasks: Sequence[str]) -> Bool:
    """[N, T] whether each row's list holds each of the names."""
    told = np.zeros((len(lists), len(tasks)), dtype=np.bool_)
    head = pc.fill_null(pc.index_in(lists.flatten(), value_set=pa.array(tasks, pa.string())), -1).to_numpy()
    told[pc.list_parent_indices(lists).to_numpy()[head >= 0], head[head >= 0]] = True
    return told
