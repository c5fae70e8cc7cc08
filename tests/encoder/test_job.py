from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from recsys.config import EncoderSettings, RankerSettings, Settings
from recsys.encoder import job
from recsys.encoder.job import (
    OnEpoch,
    checkpoints_of,
    encoders_of,
    keep_base,
    labels_from,
    read_encoder,
    steps_of,
    train_base,
    train_encoder,
    write_embeddings,
)  # fmt: skip
from recsys.encoder.order import Begin, Order, carry_out
from recsys.encoder.progress import EpochLog
from recsys.encoder.trained import TrainedEncoder
from recsys.errors import NoDataError
from recsys.tables import EVENTS, ITEM_EMBEDDINGS, RECENT_FIELDS, USER_EMBEDDINGS, USER_PROFILES
from tests.encoder.samples import encoder_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from recsys.io import Warehouse

DAY = date(2026, 3, 5)
START = datetime(2026, 3, 4, 15, tzinfo=timezone.utc)  # of the business day in Tokyo
SMALL = EncoderSettings(dim=8, heads=2, length=6, batch=16, epochs=2, negatives=8, validation_share=0.2)
USERS, ITEMS = 30, 12


def settings_of(folder: Path) -> Settings:
    ranker = RankerSettings(days=2)
    return Settings(artifacts=str(folder), timezone="Asia/Tokyo", encoder=SMALL, ranker=ranker)


def user_events(user: int) -> list[dict[str, Any]]:
    """A view each eight hours: from four days before the day's start to its very first moment."""
    moments = [START - timedelta(hours=8 * n) for n in range(12, -1, -1)]
    common = {"user_id": f"u{user:02}", "behaviour": "view", "quantity": 1}
    return [
        common
        | {"event_id": f"{user:02}-{n:02}", "item_id": f"i{(user + n) % ITEMS:02}", "event_time": at, "known_at": at}
        for n, at in enumerate(moments)
    ]


@pytest.fixture(scope="module")
def warehouse(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    from recsys.io import Commit, Warehouse

    made = Warehouse(spark, str(tmp_path_factory.mktemp("encoder-warehouse")))
    commit = Commit(query="test", epoch=0, batch=0)
    rows = [tuple(row.get(name) for name in EVENTS.names) for user in range(USERS) for row in user_events(user)]
    events = spark.createDataFrame(rows, EVENTS.ddl).coalesce(1)
    people = []
    for user in range(4):
        recent = [tuple(row.get(c) for c in RECENT_FIELDS) for row in user_events(user)] if user else []
        profile = {"user_id": f"u{user:02}", "as_of": START, "recent": recent, "epoch": 0, "batch": 0}
        people.append(tuple(profile.get(name) for name in USER_PROFILES.names))
    profiles = spark.createDataFrame(people, USER_PROFILES.ddl).coalesce(1)
    versions = {EVENTS.name: made.write(EVENTS, events, commit)}
    versions[USER_PROFILES.name] = made.write(USER_PROFILES, profiles, commit)
    made.finish(commit, versions, START)
    return made


def micros(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


def knowing(newest: datetime) -> TrainedEncoder:
    """An encoder of two items that has learned up to that moment."""
    return replace(encoder_of(SMALL, "ab", behaviours=tuple(Settings().behaviours)), newest=micros(newest))


def test_base_and_encoder_know_the_time_before_the_labels_and_before_the_day(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    settings, view, seen = settings_of(tmp_path), warehouse.view(), list[EpochLog]()
    logs = train_base(view, settings, DAY, seen.append)
    assert logs == seen
    assert len(logs) <= 2
    paths, kept = encoders_of(settings, DAY), checkpoints_of(settings)
    assert [file.name for file in kept.iterdir()] == ["base.safetensors"]
    old = paths.base.joinpath("encoder.safetensors").read_bytes()
    assert train_base(view, settings, DAY, lambda _: None) == logs  # to the second: restored, not trained again
    assert paths.base.joinpath("encoder.safetensors").read_bytes() == old
    base = TrainedEncoder.load(paths.base)
    assert base.newest == micros(START - timedelta(hours=56))  # the last view before two days before the day's start
    assert labels_from(base) == START - timedelta(hours=56) + timedelta(microseconds=1)
    logs = train_encoder(view, settings, DAY, seen.append)
    assert logs == seen[-len(logs) :]
    assert not kept.exists()
    assert [log.epoch for log in logs] == list(range(1, len(logs) + 1))  # through both steps
    (middle,) = (TrainedEncoder.load(step.folder) for step in steps_of(settings, DAY)[:-1])
    assert middle.newest == micros(START - timedelta(hours=32))  # the last view before a day before the day's start
    encoder = read_encoder(paths.encoder, DAY)
    assert encoder.newest == micros(START - timedelta(hours=8))  # what happens at the day's start is not known
    assert encoder.vocabulary.items[: len(base.vocabulary)] == base.vocabulary.items
    assert sorted(path.name for path in paths.base.parent.iterdir()) == [
        "base", "encoder", "until-2026-03-03T15",
    ]  # fmt: skip  # no draft is left
    old = paths.encoder.joinpath("encoder.safetensors").read_bytes()
    keep_base(settings, DAY, encoder)
    with pytest.raises(NoDataError, match="newer than the encoder"):
        train_encoder(view, settings, DAY, seen.append)  # the base knows it all already
    assert paths.encoder.joinpath("encoder.safetensors").read_bytes() == old  # a failure leaves what there was


def test_with_several_processes_executors_carry_out_the_same_order(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they do with it is tested in test_ranks.py, and on a cluster."""
    orders, one, several = list[Order](), settings_of(tmp_path / "one"), settings_of(tmp_path / "several")
    several = several.model_copy(update={"encoder": SMALL.model_copy(update={"processes": 2})})

    def distribute(spark: SparkSession, order: Order, begin: Begin, on_epoch: OnEpoch) -> list[EpochLog]:
        assert spark is warehouse.spark
        orders.append(order)
        return carry_out(order, begin, on_epoch)

    monkeypatch.setattr(job, "distribute", distribute)
    logs = [train_base(warehouse.view(), settings, DAY, lambda _: None) for settings in (one, several)]
    assert [[log.loss for log in found] for found in logs] == [[log.loss for log in logs[0]]] * 2
    assert [order.encoder.processes for order in orders] == [2]
    assert orders[0].behaviours == tuple(several.behaviours)
    assert TrainedEncoder.load(encoders_of(several, DAY).base).newest == micros(START - timedelta(hours=56))


def test_a_step_without_anything_new_keeps_the_encoder(warehouse: Warehouse, tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    quiet = DAY + timedelta(days=3)  # nothing happens on the two business days before it
    keep_base(settings, quiet, knowing(START - timedelta(hours=9)))
    logs = train_encoder(warehouse.view(), settings, quiet, lambda _: None)
    steps = steps_of(settings, quiet)
    learned, *rest = (TrainedEncoder.load(step.folder) for step in steps)
    assert learned.newest == micros(START)
    assert len(rest) == 2
    for encoder in rest:
        assert encoder.newest == learned.newest
        np.testing.assert_array_equal(encoder.item_vectors(), learned.item_vectors())
    assert 0 < len(logs) <= SMALL.increment_epochs


@pytest.mark.parametrize(
    ("newest", "days", "ends"),
    [
        (-timedelta(days=3, minutes=1), 1, [-2, -1, 0]),
        (-timedelta(days=3, minutes=1), 2, [-2, 0]),
        (-timedelta(days=3, minutes=1), 7, [0]),
        (-timedelta(days=4, hours=-1), 1, [-2, -1, 0]),  # 23 hours are no day of their own
        (-timedelta(hours=12), 1, [0]),
        (-timedelta(minutes=1), 1, [0]),
    ],
)
def test_steps_end_with_business_days(tmp_path: Path, newest: timedelta, days: int, ends: list[int]) -> None:
    settings = settings_of(tmp_path)
    settings = settings.model_copy(update={"ranker": settings.ranker.model_copy(update={"step_days": days})})
    keep_base(settings, DAY, knowing(START + newest))
    steps = steps_of(settings, DAY)
    assert [step.until for step in steps] == [START + timedelta(days=end) for end in ends]
    first = START + newest + timedelta(microseconds=1)
    assert [step.since for step in steps] == [first, *(step.until for step in steps[:-1])]
    paths = encoders_of(settings, DAY)
    assert [steps[0].start, steps[-1].folder] == [paths.base, paths.encoder]
    assert [step.start for step in steps[1:]] == [step.folder for step in steps[:-1]]


def test_a_base_takes_the_place_of_another(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    for seed in (0, 1):
        champion = encoder_of(SMALL, "ab", seed)
        keep_base(settings, DAY, champion)
        (encoders_of(settings, DAY).base / f"left-over-{seed}").touch()
    kept = read_encoder(encoders_of(settings, DAY).base, DAY)
    np.testing.assert_array_equal(kept.item_vectors(), champion.item_vectors())
    assert not (encoders_of(settings, DAY).base / "left-over-0").exists()


def test_an_absent_encoder_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    with pytest.raises(NoDataError, match=r"no encoder for --date 2026-03-05: .* Found: none\."):
        read_encoder(encoders_of(settings, DAY).base, DAY)
    keep_base(settings, date(2026, 3, 4), encoder_of(SMALL, "ab"))
    with pytest.raises(NoDataError, match=r"Found: 2026-03-04\."):
        read_encoder(encoders_of(settings, DAY).base, DAY)


def test_embeddings_are_appended_under_their_bundle(warehouse: Warehouse, tmp_path: Path) -> None:
    encoder = encoder_of(SMALL, [f"i{n:02}" for n in range(ITEMS)])
    encoder.save(tmp_path / "e")
    write_embeddings(warehouse, tmp_path / "e", "b1")
    view = warehouse.view()
    users = view.read(USER_EMBEDDINGS).toArrow().sort_by("user_id")
    assert users["user_id"].to_pylist() == [f"u{n:02}" for n in range(4)]
    assert set(users["bundle"].to_pylist()) == {"b1"}
    assert [any(vector) for vector in users["vector"].to_pylist()] == [False, True, True, True]
    items = view.read(ITEM_EMBEDDINGS).toArrow().sort_by("item_id")
    assert items["item_id"].to_pylist() == [f"i{n:02}" for n in range(ITEMS)]
    np.testing.assert_array_equal(np.asarray(items["vector"].to_pylist(), np.float32), encoder.item_vectors())
    assert set(zip(items["epoch"].to_pylist(), items["batch"].to_pylist(), strict=True)) == {(0, 0)}
