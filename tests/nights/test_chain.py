"""The chain on a master and two workers, one of which dies on the way, equals the first night in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from recsys import flow
from recsys.pseudonyms import KEY_VARIABLE
from recsys.tables import (
    BATCHES,
    EVENTS,
    ITEM_EMBEDDINGS,
    ITEM_FEATURES,
    ITEM_TILES,
    ITEMS,
    RECOMMENDATIONS,
    REJECTED_EVENTS,
    USER_EMBEDDINGS,
    USER_PROFILES,
    Table,
)
from tests.cluster.fingerprint import fingerprint
from tests.nights.chain import Ran, chain
from tests.nights.night import FIRST, Done, Nights

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from recsys.io import View

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3000)]

VERSION = ("epoch", "batch")  # the cluster had more batches: a stream of its own before the night
CLOCK = ("ingest_time",)  # when a batch began
SUMS = ("events", "pieces", "revenue_minor")
MADE = (USER_EMBEDDINGS, ITEM_EMBEDDINGS, RECOMMENDATIONS)
Read = Callable[["View"], "DataFrame"]
UP_TO_FEATURES: dict[str, tuple[Read, tuple[str, ...]]] = {  # what is compared, and the columns that may differ
    "events": (lambda view: view.read(EVENTS), CLOCK),
    "rejected_events": (lambda view: view.read(REJECTED_EVENTS), CLOCK),
    "item_tiles": (lambda view: view.total(ITEM_TILES, SUMS), ()),
    "items": (lambda view: view.read(ITEMS), ()),  # the first catalogue's spans begin at launches, not at the run
    "user_profiles": (lambda view: view.latest(USER_PROFILES), VERSION),
    "item_features": (lambda view: view.latest(ITEM_FEATURES), VERSION),
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, nights: Nights, request: pytest.FixtureRequest) -> Ran:
    return chain(tmp_path_factory.mktemp("chain"), nights.key, beside=lambda: request.getfixturevalue("first"))


@pytest.fixture(scope="module")
def views(spark: SparkSession, ran: Ran, first: Done) -> tuple[View, View]:
    """The tables on the cluster, and here after the first night."""
    from recsys.io import Warehouse

    return Warehouse(spark, str(ran.folder / "cluster" / "tables")).view(), first.view


def spark_events(ran: Ran, kind: str) -> Iterator[dict[str, Any]]:
    """The events of a kind in the event logs of the submitted applications, in their order."""
    for file in sorted(ran.event_logs.rglob("events_*")):
        for line in file.read_text().splitlines():
            if line.startswith(f'{{"Event":"{kind}"'):
                yield json.loads(line)


def night_of(ran: Ran) -> list[dict[str, Any]]:
    """What the night logged on the cluster."""
    return [json.loads(line) for line in ran.lines if line.startswith('{"time": ')]


@pytest.mark.parametrize("name", UP_TO_FEATURES)
def test_tables_up_to_features_are_equal(views: tuple[View, View], name: str) -> None:
    read, without = UP_TO_FEATURES[name]
    cluster, here = (fingerprint(read(view), without) for view in views)
    assert cluster == here
    assert cluster[0] > 0


def accounts(view: View) -> tuple[int, ...]:
    columns = ("rows_in", "accepted", "duplicate", "rejected")
    rows = view.read(BATCHES).where("query = 'events'").select(*columns).collect()
    return tuple(sum(row[name] for row in rows) for name in columns)


def test_every_row_of_the_source_is_accounted_for(views: tuple[View, View]) -> None:
    rows_in, accepted, duplicate, rejected = accounts(views[0])
    assert (rows_in, accepted, duplicate, rejected) == accounts(views[1])
    assert rows_in == accepted + duplicate + rejected
    assert min(accepted, duplicate, rejected) > 0


def vectors(view: View, table: Table) -> dict[str, list[float]]:
    return {row[0]: row["vector"] for row in view.latest(table).select(table.key[0], "vector").collect()}


@pytest.mark.parametrize("table", [USER_EMBEDDINGS, ITEM_EMBEDDINGS], ids=lambda table: table.name)
def test_embeddings_are_equal_but_for_rounding(views: tuple[View, View], table: Table) -> None:
    """The same seed and the same rows in the same order: what is left is the order of floating-point sums."""
    ours, local = (vectors(view, table) for view in views)
    assert ours.keys() == local.keys()
    x, y = (np.array([found[key] for key in sorted(found)]) for found in (ours, local))
    assert len(x) > 50
    np.testing.assert_allclose(x, y, atol=1e-4)  # unit vectors: a cosine above 0.9999999


def test_lists_are_equal(views: tuple[View, View]) -> None:
    """Items of nearly equal scores may change places: at least 95% of all items are in both runs' lists of a user."""
    lists = [
        {row["user_id"]: [item["item_id"] for item in row["items"]] for row in view.latest(RECOMMENDATIONS).collect()}
        for view in views
    ]
    assert lists[0].keys() == lists[1].keys()
    shared = [len(set(items) & set(lists[1][user])) for user, items in lists[0].items()]
    assert sum(shared) >= 0.95 * sum(map(len, lists[1].values())) > 0


@pytest.mark.parametrize("table", MADE, ids=lambda table: table.name)
def test_models_ran_in_processes_of_workers(ran: Ran, views: tuple[View, View], table: Table) -> None:
    made_by = {row[0] for row in views[0].read(table).select("made_by").distinct().collect()}
    pids = {int(name.rpartition("/")[2]) for name in made_by}
    assert pids
    assert pids <= ran.family["worker0"] | ran.family["worker1"]
    assert not pids & ran.family["driver"]


def test_a_worker_died_and_the_night_went_on(ran: Ran) -> None:
    killed = json.loads(ran.killed)
    ended = [line["job"] for line in night_of(ran) if line["event"] == "job ended" and line["time"] > killed["time"]]
    assert ended == list(flow.NIGHT)
    at = datetime.fromisoformat(killed["time"]).timestamp()
    lost = [e for e in spark_events(ran, "SparkListenerExecutorRemoved") if e["Timestamp"] >= 1000 * at]
    assert len(lost) == 1
    reasons = [event["Task End Reason"]["Reason"] for event in spark_events(ran, "SparkListenerTaskEnd")]
    assert reasons.count("ExecutorLostFailure") > 0  # it died at work
    page = ran.folder / "cluster" / "artifacts" / "reports" / FIRST.isoformat() / "report.html"
    assert "<html" in page.read_text()


def test_the_key_is_in_no_spark_setting_and_no_log(ran: Ran) -> None:
    shown = list(spark_events(ran, "SparkListenerEnvironmentUpdate"))
    assert len(shown) == 2
    assert all("spark.pyspark.python" in dict(event["Spark Properties"]) for event in shown)
    logs = [file for file in ran.nodes.rglob("*") if file.name.startswith(("log", "stdout", "stderr", "events_"))]
    assert len(logs) > 6
    texts = [file.read_text(errors="replace") for file in logs] + ran.lines
    assert [text[:200] for text in texts if ran.key in text or KEY_VARIABLE in text] == []
