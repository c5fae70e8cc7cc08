from __future__ import annotations

import os
import socket
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from recsys.config import FeatureSettings, Settings, TopNSettings
from recsys.errors import BundleError
from recsys.features.history import from_arrow
from recsys.tables import RECENT_FIELDS, RECENT_TYPE, RECOMMENDATIONS
from recsys.topn.recommend import recommend
from recsys.topn.spark import ModelPaths, load_models, recommend_users
from tests.topn.models import save_models, snapshot

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NOW = datetime(2026, 3, 2, 12, tzinfo=timezone.utc)
MICROS = int(NOW.timestamp()) * 1_000_000
SETTINGS = Settings(features=FeatureSettings(k=16), topn=TopNSettings(n=4, candidates=12, popular=5))


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> ModelPaths:
    return save_models(tmp_path_factory.mktemp("models"), snapshot(30, MICROS), SETTINGS)


def recent(user: int) -> list[dict[str, Any]] | None:
    random = np.random.default_rng(user)
    if user % 10 == 0:
        return [] if user % 20 else None
    events = []
    for place in range(int(random.integers(1, 16))):
        behaviour = ("view", "click", "purchase", "search")[int(random.integers(4))]
        event = dict.fromkeys(RECENT_FIELDS) | {"event_id": f"{place:02}", "behaviour": behaviour, "quantity": 1}
        item = None if behaviour == "search" else f"i{random.integers(30):02}"
        events.append(event | {"event_time": NOW - timedelta(minutes=100 - place), "item_id": item})
    return events


def test_equals_the_function_and_runs_on_executors(spark: SparkSession, paths: ModelPaths) -> None:
    users = [f"u{user:02}" for user in range(40)]
    rows = [(name, recent(user)) for user, name in enumerate(users)]
    flat = [(u, None if r is None else [tuple(e[f] for f in RECENT_FIELDS) for e in r]) for u, r in rows]
    profiles = spark.createDataFrame(flat, f"user_id string, recent {RECENT_TYPE}").repartition(3)
    found = recommend_users(profiles, paths, "b1", NOW, SETTINGS).toArrow().sort_by("user_id")
    assert tuple(found.schema.names) == tuple(n for n in RECOMMENDATIONS.names if n not in {"epoch", "batch"})
    assert found["user_id"].to_pylist() == users
    assert set(found["bundle"].to_pylist()) == {"b1"}
    assert set(found["at"].to_pylist()) == {NOW}
    hosts, pids = zip(*(made.split("/") for made in found["made_by"].to_pylist()), strict=True)
    assert set(hosts) == {socket.gethostname()}
    assert str(os.getpid()) not in pids
    models = load_models(paths, FeatureSettings(), SETTINGS.topn)
    fields = [pa.field("event_id", pa.string()), pa.field("event_time", pa.timestamp("us", tz="UTC"))]
    fields += [pa.field(n, pa.string()) for n in ("behaviour", "item_id")]
    fields += [pa.field(n, pa.int64()) for n in ("price_minor", "quantity")] + [pa.field("value", pa.float64())]
    history = from_arrow(pa.array([r for _, r in rows], pa.list_(pa.struct(fields))), tuple(SETTINGS.behaviours))
    expected = recommend(
        history,
        MICROS,
        models.encoder,
        models.ranker,
        models.index.snapshot,
        tuple(SETTINGS.behaviours),
        SETTINGS.features,
        SETTINGS.topn,
        ahead=True,
    ).to_arrow(models.index.snapshot.items)
    for user, (got, wanted) in enumerate(zip(found["items"].to_pylist(), expected.to_pylist(), strict=True)):
        # one batch or three: sums of floats may differ in their last bits
        assert [g["item_id"] for g in got] == [w["item_id"] for w in wanted], user
        assert [g["reason"] for g in got] == [w["reason"] for w in wanted]
        assert [g["score"] for g in got] == pytest.approx([w["score"] for w in wanted], abs=1e-5)
        assert len(got) == 4
    cold = found["items"].to_pylist()[0]
    assert {item["source"] for item in cold} == {"popular"}


def test_models_are_read_once_and_again_when_they_change(paths: ModelPaths) -> None:
    first = load_models(paths, FeatureSettings(), SETTINGS.topn)
    assert load_models(paths, FeatureSettings(), SETTINGS.topn) is first
    Path(paths.snapshot).touch()
    assert load_models(paths, FeatureSettings(), SETTINGS.topn) is not first


def test_a_path_that_is_not_there_is_named(paths: ModelPaths, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nowhere' does not exist on .*executors must be able to read it"):
        load_models(replace(paths, ranker=str(tmp_path / "nowhere")), FeatureSettings(), SETTINGS.topn)
