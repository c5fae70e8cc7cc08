from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from recsys.config import EncoderSettings, FeatureSettings, RankerSettings, Settings
from recsys.encoder.model import Encoder
from recsys.encoder.trained import TrainedEncoder
from recsys.encoder.vocabulary import Vocabulary
from recsys.errors import ConfigError, NoDataError
from recsys.features.definitions import feature_names
from recsys.tables import EVENTS, EXAMPLES, ITEMS
from tests.ranking.log import BORN, CATALOGUE, DAY, LATE, SOLD_OUT, known_from, rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SETTINGS = Settings(
    features=FeatureSettings(k=4), ranker=RankerSettings(negatives=2, wide=1, near=2, lists=True, nightly=0)
)


@pytest.fixture(scope="module")
def events(spark: SparkSession) -> DataFrame:
    table = [tuple(row.get(name) for name in EVENTS.names) for row in rows()]
    return spark.createDataFrame(table, EVENTS.ddl).cache()


@pytest.fixture(scope="module")
def item_features(spark: SparkSession, events: DataFrame) -> DataFrame:
    from recsys.features.spark import item_features as compute

    hours = spark.createDataFrame([(DAY + timedelta(hours=hour),) for hour in range(24)], "hour timestamp")
    return compute(events, spark.createDataFrame([], ITEMS.ddl), hours, SETTINGS).cache()


@pytest.fixture(scope="module")
def items(spark: SparkSession) -> DataFrame:
    """The catalogue: three spans of each item, the first of another category; LATE comes at half past six."""
    old, new, out = (DAY + timedelta(hours=hours) for hours in (-700, -500, 15))
    told: list[dict[str, Any]] = [{"item_id": LATE, "category": "c0", "valid_from": BORN}]
    for item in sorted({f"i{number}" for number in range(CATALOGUE)} - {LATE}):
        own = {"item_id": item, "price_minor": 100, "in_stock": True, "category": f"c{int(item[1:]) % 3}"}
        told.append(own | {"category": "old", "valid_from": old, "valid_to": new})
        told.append(own | {"valid_from": new, "valid_to": out})
        told.append(own | {"valid_from": out, "in_stock": item != SOLD_OUT})
    return spark.createDataFrame([tuple(row.get(name) for name in ITEMS.names) for row in told], ITEMS.ddl).cache()


@pytest.fixture(scope="module")
def encoder_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    small = EncoderSettings(dim=8, heads=2, length=4)
    vocabulary = Vocabulary(tuple(f"i{item}" for item in range(CATALOGUE - 1)))
    model = Encoder(small, len(vocabulary), len(SETTINGS.behaviours))
    encoder = TrainedEncoder(
        settings=small,
        vocabulary=vocabulary,
        behaviours=tuple(SETTINGS.behaviours),
        model=model,
        learned=len(vocabulary),
        newest=0,
        crowd=np.zeros(len(vocabulary), dtype=np.float32),
    )
    folder = tmp_path_factory.mktemp("encoder")
    encoder.save(folder)
    return str(folder)


def build(
    events: DataFrame,
    item_features: DataFrame,
    items: DataFrame,
    path: str,
    settings: Settings = SETTINGS,
    last: datetime = DAY + timedelta(days=1),
    until: datetime | None = None,
) -> list[dict[str, Any]]:
    from recsys.ranking.spark import build_examples

    frame = build_examples(events, item_features, items, path, settings, DAY, last, until)
    assert tuple(frame.columns) == EXAMPLES.names
    got = [row.asDict() | {"at": row["at"].astimezone(timezone.utc)} for row in frame.collect()]
    return sorted(got, key=lambda row: (row["user_id"], row["at"], row["request_id"], row["item_id"]))


def test_examples_are_labelled_and_see_only_what_lies_before(
    events: DataFrame, item_features: DataFrame, items: DataFrame, encoder_path: str
) -> None:
    got = build(events, item_features, items, encoder_path)
    names = feature_names(FeatureSettings())
    log = [row for row in rows() if row.get("user_id")]
    clicks = [(row["item_id"], row["event_time"]) for row in rows() if row["behaviour"] == "click"]
    by_request: dict[str, list[Any]] = {}
    late = 0
    for row in got:
        by_request.setdefault(row["request_id"], []).append(row)
        value = dict(zip(names, row["features"], strict=True))
        own = [e for e in log if e["user_id"] == row["user_id"] and e["behaviour"] != "impression"]
        known = [e for e in own if e["event_time"] < row["at"] and known_from(e) < row["at"]]
        past = sorted((e["event_time"], e["item_id"]) for e in known)[-4:]
        late += any(e["event_time"] < row["at"] <= known_from(e) for e in own)
        assert value["engaged_count"] == len(past)
        assert value["recency_s"] == pytest.approx((row["at"] - past[-1][0]).total_seconds())
        assert row["item_id"] not in {item for _, item in past}
        hour = row["at"].replace(minute=0, second=0, microsecond=0)
        newest = sum(item == row["item_id"] and hour - timedelta(hours=1) <= at < hour for item, at in clicks)
        assert value["item_engaged_count_1h"] == newest
        price = value["item_price_minor"], value["item_price_ratio_30d"]
        assert price == (100, 0) or (row["item_id"] == LATE and np.isnan(price).all())
        assert np.isnan(value["pair_similarity"]) == (row["item_id"] == f"i{CATALOGUE - 1}")
        assert row["day"] == DAY.date()
    assert len(by_request) > 300
    assert late > 100
    times = {event["event_id"]: event for event in log}
    placed: set[int | None] = set()
    for request, pairs in by_request.items():
        assert {row["label"] for row in pairs} == {0.0, 1.0}
        (positive,) = (row for row in pairs if row["label"] == 1)
        assert positive["behaviour"] == "click"
        if request.startswith("list:"):
            named = request.removeprefix("list:")
            shown = [e for e in log if e.get("request_id") == named and e["behaviour"] == "impression"]
            place = {e["item_id"]: e["position"] for e in reversed(shown)}  # item -> at its first impression
            assert all(row["position"] == place[row["item_id"]] for row in pairs)
            placed.update(row["position"] for row in pairs)
            assert all(row["draw_chance"] is None for row in pairs)
        else:
            assert times[request]["item_id"] == positive["item_id"]
            assert positive["at"] == times[request]["event_time"]
            assert len(pairs) <= 1 + 2 + 1 + 2
            assert all(0 < row["draw_chance"] <= 1 and row["position"] is None for row in pairs)
            assert len({row["item_id"] for row in pairs}) == len(pairs)
    assert placed == {None, 1, 2, 3}


def test_an_hour_that_has_not_ended_gives_no_negatives(
    events: DataFrame, item_features: DataFrame, items: DataFrame, encoder_path: str
) -> None:
    drawing = SETTINGS.ranker.model_copy(update={"negatives": CATALOGUE, "wide": 0, "near": 0, "lists": False})
    clicked: dict[int, set[str]] = {}
    for row in rows():
        if row["behaviour"] == "click":
            clicked.setdefault((row["event_time"] - DAY) // timedelta(hours=1), set()).add(row["item_id"])
    got = build(events, item_features, items, encoder_path, SETTINGS.model_copy(update={"ranker": drawing}))
    for row in got:
        hour = (row["at"] - DAY) // timedelta(hours=1)
        before = max(other for other in clicked if other < hour)  # of hour 0 it is that of 18 hours earlier
        assert row["label"] == 1 or row["item_id"] in clicked[before]
    assert sum(row["label"] == 0 for row in got) > 1000


def test_examples_do_not_depend_on_partitions_or_order(
    events: DataFrame, item_features: DataFrame, items: DataFrame, encoder_path: str
) -> None:
    once = build(events, item_features, items, encoder_path)
    again = build(events.repartition(5).orderBy("event_id"), item_features, items, encoder_path)
    for one, two in zip(once, again, strict=True):
        np.testing.assert_allclose(one.pop("features"), two.pop("features"), rtol=0, atol=1e-6)
        assert one == two


def test_about_so_many_requests_spread_over_the_whole_time(
    events: DataFrame, item_features: DataFrame, items: DataFrame, encoder_path: str
) -> None:
    from recsys.ranking.spark import build_examples, request_share

    few = SETTINGS.model_copy(update={"ranker": SETTINGS.ranker.model_copy(update={"max_requests": 50})})
    last = DAY + timedelta(days=1)
    targets = sum(row["behaviour"] == "click" and row["event_time"] >= DAY for row in rows() if row.get("user_id"))
    assert request_share(events, few, DAY, last) == 50 / targets
    assert request_share(events, SETTINGS, DAY, last) == 1
    every = {row["request_id"]: row["at"] for row in build(events, item_features, items, encoder_path)}
    drawn = build_examples(events, item_features, items, encoder_path, SETTINGS, DAY, last, share=50 / targets)
    got = {row["request_id"]: row["at"].astimezone(timezone.utc) for row in drawn.collect()}
    assert got.items() <= every.items()
    assert 25 < len(got) < 75
    middle = sorted(every.values())[len(every) // 2]
    assert 10 < sum(at < middle for at in got.values()) < len(got) - 10


def test_no_pair_has_an_item_that_the_catalogue_lacked_at_the_full_hour(
    events: DataFrame, item_features: DataFrame, items: DataFrame, encoder_path: str
) -> None:
    got = build(events, item_features, items, encoder_path)
    hours = sorted((row["at"] - DAY) // timedelta(hours=1) for row in got if row["item_id"] == LATE)
    assert hours[0] == 7  # not 6: the list of 06:45 was made from the catalogue of six o'clock
    assert len(hours) > 10
    sold = {(row["at"] - DAY) // timedelta(hours=1) for row in got if row["item_id"] == SOLD_OUT}
    assert sold == set(range(15))
    others = {(row["at"] - DAY) // timedelta(hours=1) for row in got if row["item_id"] != LATE}
    assert others == set(range(24))
    share = feature_names(FeatureSettings()).index("pair_category_share")
    assert any(row["features"][share] > 0 for row in got)  # of the newest category; nothing was engaged with in "old"


def test_a_label_may_follow_its_request_up_to_a_day_later_and_before_until(
    events: DataFrame, item_features: DataFrame, items: DataFrame, encoder_path: str
) -> None:
    nightly = SETTINGS.model_copy(
        update={"ranker": SETTINGS.ranker.model_copy(update={"nightly": 1.0, "lists": False})}
    )
    times: dict[str, datetime] = {row["event_id"]: row["event_time"] for row in rows()}
    last = DAY + timedelta(hours=7)
    for until, latest in ((None, last), (DAY + timedelta(hours=20), DAY + timedelta(hours=20))):
        got = build(events, item_features, items, encoder_path, nightly, last, until)
        assert len(got) > 50
        assert all(DAY <= row["at"] < last for row in got)
        lags = [times[row["request_id"]] - row["at"] for row in got]
        assert timedelta(0) <= min(lags)
        assert max(lags) < timedelta(days=1)
        labels = [times[row["request_id"]] for row in got]
        assert latest - timedelta(hours=1) < max(labels) < latest


def test_empty_ranges_and_days_are_named(
    spark: SparkSession, events: DataFrame, item_features: DataFrame, items: DataFrame, encoder_path: str
) -> None:
    from recsys.ranking.spark import build_examples, request_share

    some = datetime(2020, 1, 1, tzinfo=timezone.utc)
    with pytest.raises(ConfigError, match="range is empty"):
        build_examples(events, item_features, items, encoder_path, SETTINGS, some, some)
    with pytest.raises(NoDataError, match="no click or cart"):
        request_share(events, SETTINGS, some, some + timedelta(days=1))
    aimless = SETTINGS.model_copy(update={"behaviours": {"view": SETTINGS.behaviours["view"]}})
    with pytest.raises(ConfigError, match="target"):
        build_examples(events, item_features, items, encoder_path, aimless, some, some + timedelta(days=1))
    with pytest.raises(ConfigError, match="target"):
        request_share(events, aimless, some, some + timedelta(days=1))
