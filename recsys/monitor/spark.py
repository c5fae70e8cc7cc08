"""Evaluation of a day on executors: requests, their histories, the baselines' lists, and one small table of metrics.

Nothing that grows with users or events comes to the driver: requests are measured where they lie and only sums travel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.config import Settings
from recsys.days import micros, start_of
from recsys.errors import NoDataError
from recsys.features.history import I64, from_arrow
from recsys.features.kept import without_declared
from recsys.features.state import Batches, profile_state
from recsys.monitor.baselines import newest_before, popular_before
from recsys.monitor.measure import Batch, Pool, measure
from recsys.monitor.timesplit import PLACES, finish
from recsys.ranking.spark import targets
from recsys.tables import RECENT_FIELDS, RECENT_TYPE
from recsys.topn.spark import ModelPaths, load_models

FROZEN, ROLLING = "popularity", "rolling popularity"
WEEK, EVER = "popularity of 7 days", "popularity of all days"
ALL_DAYS = timedelta(days=36_500)  # before a moment: further back than events are accepted from
PARTIAL = (
    "model string, slice string, metric string, totals array<double>, counts array<double>, users array<bigint>, "
    "items array<string>, catalogue bigint"
)
RESULT = (
    "model string, slice string, metric string, value double, low double, high double, versus string, "
    "difference double, difference_low double, difference_high double, "
    "ratio double, ratio_low double, ratio_high double, requests bigint, users bigint"
)
Snapshots = Sequence[tuple[datetime, ModelPaths]]


def evaluate_frozen(
    events: DataFrame, day: date, paths: ModelPaths, settings: Settings, others: Mapping[str, DataFrame] | None = None
) -> DataFrame:
    """Metrics of the lists made at the day's start for the users of that day (rows of timesplit.RESULT).

    A test user has a target behaviour with an item on the business day `day`; the truth is all such items that the
    user's history lacks. History, popularity and the snapshot at `paths` end before the day. `events` are of
    tables.EVENTS and reach back as far as histories should. `others` adds models: name -> (user_id, items
    array<string>, best first). Baselines: popularity of evaluate.window_hours (compared with), of 7 days and of all
    days before. At most evaluate.users users, drawn by seed. No rows where the day has no test user.
    """
    first = start_of(day, settings.timezone)
    window = timedelta(hours=settings.evaluate.window_hours)
    pools = {
        FROZEN: popularity_lists(events, [first], window, settings),
        WEEK: popularity_lists(events, [first], timedelta(days=7), settings),
        EVER: popularity_lists(events, [first], ALL_DAYS, settings),
    }
    requests = frozen_requests(events, day, settings)
    return _evaluate(requests, pools, [(first, paths)], settings, FROZEN, others or {}, ahead=True)


def frozen_requests(events: DataFrame, day: date, settings: Settings) -> DataFrame:
    """The test users of a day with what they did before it: user (a hash), user_id, at, recent, truth."""
    first, last = (start_of(d, settings.timezone) for d in (day, day + timedelta(days=1)))
    wanted = _targets(events, first, last, settings)
    requests = wanted.groupBy("user_id").agg(F.collect_set("item_id").alias("truth"))
    requests = requests.withColumns({"request": F.col("user_id"), "at": F.lit(first)})
    drawn = requests.orderBy(_draw("user_id", settings)).limit(settings.evaluate.users)
    return _with_history(drawn, events, settings)


def evaluate_streaming(events: DataFrame, day: date, snapshots: Snapshots, settings: Settings) -> DataFrame:
    """Metrics of lists made at each target behaviour of the day, knowing all that lies strictly before it.

    A request is a target behaviour with an item that its user's history lacks; that item is the truth. Each request is
    answered with the newest of `snapshots` (moment, paths) at or before it; the models stay those of `paths`. The
    baseline is the popularity of the last evaluate.window_hours, renewed every evaluate.step_minutes. At most
    evaluate.requests behaviours are drawn by seed. Raises NoDataError: no snapshot at or before the day's start.
    """
    first, last = (start_of(d, settings.timezone) for d in (day, day + timedelta(days=1)))
    if not snapshots or snapshots[0][0] > first:
        found = snapshots[0][0].isoformat() if snapshots else "none"
        raise NoDataError(f"the first item snapshot is of {found}; the day {day} needs one at {first.isoformat()}.")
    wanted = _targets(events, first, last, settings)
    columns = ("user_id", F.col("event_id").alias("request"), F.col("event_time").alias("at"))
    requests = wanted.orderBy(_draw("event_id", settings)).limit(settings.evaluate.requests)
    requests = requests.select(*columns, F.array("item_id").alias("truth"))
    step = timedelta(minutes=settings.evaluate.step_minutes)
    moments = [first + step * n for n in range((last - first) // step)]
    window = timedelta(hours=settings.evaluate.window_hours)
    pools = {
        FROZEN: popularity_lists(events, [first], window, settings),
        ROLLING: popularity_lists(events, moments, window, settings),
    }
    return _evaluate(_with_history(requests, events, settings), pools, snapshots, settings, ROLLING, {}, ahead=False)


def popularity_lists(events: DataFrame, moments: Sequence[datetime], window: timedelta, settings: Settings) -> Pool:
    """The items with the most target behaviours in [moment - window, moment), for each of the ascending moments.

    Moments lie evenly apart. Counts by (step between moments, item) meet on one executor; the driver gets, for each
    moment, as many ids as a full history and PLACES need together.
    """
    step = (moments[1] - moments[0] if len(moments) > 1 else window) // timedelta(microseconds=1)
    origin = F.lit(micros(moments[0]))
    tile = origin + F.floor((F.unix_micros("event_time") - origin) / step) * step
    inside = _targets(events, moments[0] - window, moments[-1], settings)
    cells = inside.groupBy(tile.alias("tile"), "item_id").agg(F.count(F.lit(1)).alias("events"))
    asked = np.asarray([micros(moment) for moment in moments], dtype=np.int64)
    length = settings.features.k + PLACES
    task = partial(_popular, asked, window // timedelta(microseconds=1), length)
    lists = cells.repartition(1).mapInArrow(task, "moment bigint, items array<string>").orderBy("moment").toArrow()
    flat = lists["items"].combine_chunks().flatten().dictionary_encode()
    sizes = np.asarray([len(row) for row in lists["items"]], dtype=np.int64)
    matrix = np.full((len(asked), length), -1, dtype=np.int64)
    matrix[np.arange(length) < sizes[:, None]] = flat.indices.to_numpy()
    return Pool(moments=asked, ids=tuple(flat.dictionary.to_pylist()), lists=matrix)


def _popular(moments: I64, window: int, m: int, batches: Batches) -> Batches:
    schema = pa.schema([("tile", pa.int64()), ("item_id", pa.string()), ("events", pa.int64())])
    cells = pa.Table.from_batches((batch.cast(schema) for batch in batches), schema).sort_by("tile")
    ids = pc.unique(cells["item_id"]).sort()  # by id, so that equal counts do not depend on the order of rows
    codes = pc.index_in(cells["item_id"], value_set=ids).to_numpy().astype(np.int64)
    time, count = cells["tile"].to_numpy(), cells["events"].to_numpy()
    found = popular_before(time, codes, count, moments, window, m)
    lists = pa.array([ids.take(pa.array(row)) for row in found], pa.list_(pa.string()))
    yield pa.RecordBatch.from_arrays([pa.array(moments), lists], names=["moment", "items"])


def _targets(events: DataFrame, first: datetime, last: datetime, settings: Settings) -> DataFrame:
    """Target behaviours with an item in [first, last)."""
    inside = (F.col("event_time") >= F.lit(first)) & (F.col("event_time") < F.lit(last))
    return targets(events.where(inside & F.col("item_id").isNotNull()), settings)


def _draw(key: str, settings: Settings) -> Column:
    return F.xxhash64(F.lit(settings.seed), key)


def _with_history(requests: DataFrame, events: DataFrame, settings: Settings) -> DataFrame:
    """Requests with `recent` strictly before `at`, aggregated as the profiles are, and truths without seen items."""
    past = events.where(F.col("behaviour").isin(*settings.engaged())).select("user_id", *RECENT_FIELDS)
    asked = requests.select("user_id", "request", "at")
    before = past.join(asked, "user_id", "inner").where(F.col("event_time") < F.col("at"))
    state = profile_state(before.withColumn("user_id", F.col("request")), without_declared(settings))
    recent = state.select(F.col("user_id").alias("request"), "recent")
    seen = F.transform(F.coalesce("recent", F.array().cast(RECENT_TYPE)), lambda behaviour: behaviour["item_id"])
    joined = requests.join(recent, "request", "left").withColumn("truth", F.array_except("truth", seen))
    return joined.where(F.size("truth") > 0).withColumn("user", F.xxhash64("user_id"))


def _evaluate(
    requests: DataFrame,
    pools: Mapping[str, Pool],
    snapshots: Snapshots,
    settings: Settings,
    versus: str,
    others: Mapping[str, DataFrame],
    *,
    ahead: bool,
) -> DataFrame:
    for number, lists in enumerate(others.values()):
        renamed = lists.select("user_id", F.col("items").alias(f"other_{number}"))
        requests = requests.join(renamed, "user_id", "left")
    columns = [f"other_{number}" for number in range(len(others))]
    rows = requests.select("user", "at", "recent", "truth", *columns).sortWithinPartitions("at")
    moments = np.asarray([micros(moment) for moment, _ in snapshots], dtype=np.int64)
    task = partial(_measured, moments, [paths for _, paths in snapshots], pools, tuple(others), settings, ahead)
    return rows.mapInArrow(task, PARTIAL).repartition(1).mapInArrow(partial(_finished, versus), RESULT)


def _measured(
    moments: I64,
    paths: Sequence[ModelPaths],
    pools: Mapping[str, Pool],
    others: Sequence[str],
    settings: Settings,
    ahead: bool,
    batches: Batches,
) -> Batches:
    for batch in batches:
        at = batch.column("at").cast(pa.int64()).to_numpy()
        newest = newest_before(moments, at)
        for number in np.unique(newest):
            models = load_models(paths[number], settings.features, settings.topn)
            part = batch.filter(pa.array(newest == number))
            asked = _batch(part, others, settings)
            table = measure(asked, pools, models.encoder, models.ranker, models.index, settings, ahead=ahead)
            yield from table.to_batches()


def _batch(rows: pa.RecordBatch, others: Sequence[str], settings: Settings) -> Batch:
    return Batch(
        user=rows.column("user").to_numpy(),
        at=rows.column("at").cast(pa.int64()).to_numpy(),
        history=from_arrow(rows.column("recent"), tuple(settings.behaviours)),
        truth=rows.column("truth"),
        others={name: rows.column(f"other_{number}") for number, name in enumerate(others)},
    )


def _finished(versus: str, batches: Batches) -> Batches:
    yield from finish(batches, versus).to_batches()
