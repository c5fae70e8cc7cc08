"""Examples through their table: what is written is read again, in order; a range replaces itself and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from recsys.config import FeatureSettings
from recsys.encoder.job import Step
from recsys.encoder.model import Encoder
from recsys.encoder.trained import TrainedEncoder
from recsys.errors import NoDataError
from recsys.features.definitions import feature_names
from recsys.ranking.attention import Attention
from recsys.tables import COVERAGE, EVENTS, EXAMPLES, ITEM_FEATURES, ITEMS
from tests.ranking.log import CATALOGUE, DAY, known_from, rows
from tests.ranking.test_spark import SETTINGS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from recsys.io import Warehouse

pytestmark = pytest.mark.slow

HOUR = timedelta(hours=1)
NOON, EVENING = DAY + 12 * HOUR, DAY + 18 * HOUR
LENGTH = 3  # behaviours that a candidate attends to
Row = dict[str, Any]


@dataclass(frozen=True)
class Shop:
    """A warehouse with events and items, and two encoders that differ in their weights."""

    warehouse: Warehouse
    encoders: tuple[Path, Path]
    versions: dict[str, int]

    def rows(self) -> list[Row]:
        """All committed examples in the order that they are read in."""
        table = self.warehouse.view().read(EXAMPLES).toArrow()
        found: list[Row] = table.sort_by([(n, "ascending") for n in ("at", "request_id", "item_id")]).to_pylist()
        return [row | {"at": row["at"].replace(tzinfo=timezone.utc)} for row in found]


def step(start: Path, since: datetime, until: datetime) -> Step:
    return Step(start=start, since=since, until=until, folder=Path("not written"))


def save_encoder(folder: Path, seed: int) -> Path:
    from recsys.config import EncoderSettings
    from recsys.encoder.vocabulary import Vocabulary

    torch.manual_seed(seed)
    small = EncoderSettings(dim=8, heads=2, length=4)
    vocabulary = Vocabulary(tuple(f"i{item}" for item in range(CATALOGUE)))
    behaviours = tuple(SETTINGS.behaviours)
    model = Encoder(small, len(vocabulary), len(behaviours))
    crowd = np.zeros(len(vocabulary), dtype=np.float32)
    made = TrainedEncoder(
        settings=small,
        vocabulary=vocabulary,
        behaviours=behaviours,
        model=model,
        learned=len(vocabulary),
        newest=0,
        crowd=crowd,
    )
    made.save(folder)
    return folder


@pytest.fixture(scope="module")
def shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The examples of [DAY, EVENING) are written by the first encoder."""
    from recsys.io import Commit, Warehouse
    from recsys.ranking.job import write_examples

    folder = tmp_path_factory.mktemp("shop")
    warehouse = Warehouse(spark, str(folder / "warehouse"))
    log = [row | {"event_date": row["event_time"].date()} for row in rows()]
    catalogue = [{"item_id": f"i{n}", "category": f"c{n % 3}", "valid_from": DAY - 30 * HOUR} for n in range(CATALOGUE)]
    commit = Commit(query="test", epoch=0, batch=0)
    versions = {}
    for table, told in ((EVENTS, log), (ITEMS, catalogue)):
        frame = spark.createDataFrame([tuple(row.get(name) for name in table.names) for row in told], table.ddl)
        versions[table.name] = warehouse.write(table, frame.coalesce(1), commit)
    warehouse.finish(commit, versions, datetime.now(timezone.utc))
    encoders = (save_encoder(folder / "one", 1), save_encoder(folder / "two", 2))
    return Shop(warehouse, encoders, write_examples(warehouse, SETTINGS, [step(encoders[0], DAY, EVENING)]))


def test_examples_are_written_with_the_item_features_that_they_need(shop: Shop) -> None:
    found = shop.rows()
    assert len(found) > 100
    assert all(DAY <= row["at"] < EVENING and row["day"] == DAY.date() for row in found)
    assert {row["label"] for row in found} == {0.0, 1.0}
    values = [dict(zip(feature_names(FeatureSettings()), row["features"], strict=True)) for row in found]
    assert any(value["item_engaged_count_1h"] > 0 for value in values)  # the backfill ran before
    assert any(value["pair_category_share"] > 0 for value in values)  # the catalogue's categories
    assert any(np.isnan(value["pair_recency_s"]) for value in values)  # unknown stays unknown
    view = shop.warehouse.view()
    names = (EVENTS.name, ITEMS.name, ITEM_FEATURES.name, COVERAGE.name, EXAMPLES.name)
    assert shop.versions == {name: view.versions[name] for name in names}


def test_what_is_read_is_what_was_written_in_order(shop: Shop) -> None:
    from recsys.ranking.job import as_examples, example_rows

    first, last = DAY + 2 * HOUR, NOON
    wanted = [row for row in shop.rows() if first <= row["at"] < last]
    found = as_examples(example_rows(shop.warehouse.view(), first, last))
    assert 0 < len(wanted) < len(shop.rows())
    assert found.x.shape == (len(wanted), len(feature_names(FeatureSettings())))
    np.testing.assert_array_equal(found.x, np.asarray([row["features"] for row in wanted], dtype=np.float32))
    assert found.y.tolist() == [row["label"] for row in wanted]
    assert found.position is not None
    assert found.position.tolist() == [row["position"] or 0 for row in wanted]
    assert {0, 1, 2, 3} == set(found.position.tolist())
    assert found.at.tolist() == [int(row["at"].timestamp() * 1e6) for row in wanted]
    told = as_examples(example_rows(shop.warehouse.view(), first, last), ("click", "purchase")).outcomes
    assert told is not None
    assert found.outcomes is None
    assert told.tolist() == [["click" in row["outcomes"], False] for row in wanted]
    assert told[:, 0].tolist() == [row["label"] == 1 for row in wanted]
    for numbers, name in ((found.request, "request_id"), (found.user, "user_id")):
        pairs = set(zip(numbers.tolist(), (row[name] for row in wanted), strict=True))
        assert len(pairs) == len({number for number, _ in pairs}) == len({told for _, told in pairs}), name


def test_rows_hold_what_each_candidate_attends_to_and_without_it_nothing(shop: Shop) -> None:
    from recsys.ranking.job import as_examples, example_rows, write_examples

    assert {(row["recent_similarity"], row["recent_behaviour"], row["recent_gap"]) for row in shop.rows()} == {
        (None, None, None)
    }
    ranker = SETTINGS.ranker.model_copy(update={"attention": LENGTH})
    settings = SETTINGS.model_copy(update={"ranker": ranker})
    write_examples(shop.warehouse, settings, [step(shop.encoders[0], DAY, EVENING)])
    wanted, encoder = shop.rows(), TrainedEncoder.load(shop.encoders[0])
    log = [row for row in rows() if row.get("user_id") and row["behaviour"] != "impression"]
    for row in wanted:
        own = [e for e in log if e["user_id"] == row["user_id"] and e["event_time"] < row["at"]]
        past = sorted((e["event_time"], e["item_id"]) for e in own if known_from(e) < row["at"])[-LENGTH:]
        items = encoder.vocabulary.index([row["item_id"], *(item for _, item in past)]) - 1
        one, *others = encoder.item_vectors()[items]
        assert row["recent_similarity"] == pytest.approx([float(one @ other) for other in others], abs=1e-6)
        assert row["recent_behaviour"] == [1 + list(SETTINGS.behaviours).index("click")] * LENGTH
        ages = [(row["at"] - time).total_seconds() for time, _ in past]
        assert row["recent_gap"] == pytest.approx(np.log1p(ages), abs=1e-5)
    found = as_examples(example_rows(shop.warehouse.view(), DAY, EVENING, attended=True), (), settings.behaviours)
    assert found.recent is not None
    assert found.recent.similarity.tolist() == [row["recent_similarity"] for row in wanted]
    assert found.attention(LENGTH) == Attention(length=LENGTH, behaviours=tuple(settings.behaviours))
    blind = as_examples(example_rows(shop.warehouse.view(), DAY, EVENING))
    assert blind.recent is None
    write_examples(shop.warehouse, SETTINGS, [step(shop.encoders[0], DAY, EVENING)])


def test_a_range_without_examples_is_named(shop: Shop) -> None:
    from recsys.ranking.job import example_rows

    view = shop.warehouse.view()
    # On a day that has no file, and between two examples of a day that has some.
    for first, last in ((DAY + 48 * HOUR, DAY + 49 * HOUR), (DAY + 20 * HOUR, DAY + 21 * HOUR)):
        with pytest.raises(NoDataError, match="'examples' has no row in"):
            example_rows(view, first, last)


def keyed(found: list[Row]) -> dict[tuple[str, str], tuple[datetime, float]]:
    """Moment and similarity of each pair."""
    place = feature_names(FeatureSettings()).index("pair_similarity")
    return {(row["request_id"], row["item_id"]): (row["at"], row["features"][place]) for row in found}


def test_a_later_run_replaces_its_range_and_nothing_else(shop: Shop) -> None:
    from recsys.ranking.job import write_examples

    before = shop.rows()
    write_examples(shop.warehouse, SETTINGS, [step(shop.encoders[1], NOON, EVENING)])
    after = shop.rows()
    old, new = keyed(before), keyed(after)
    assert len(new) == len(after)
    early = {key for key, (at, _) in old.items() if at < NOON}
    assert early == {key for key, (at, _) in new.items() if at < NOON}
    assert all(old[key] == new[key] for key in early)
    late = old.keys() - early
    assert late
    assert any(old[key] != new[key] for key in late & new.keys())  # the other encoder's similarity


def test_each_step_is_measured_by_the_encoder_that_it_starts_from(shop: Shop) -> None:
    from recsys.ranking.job import write_examples

    every = []
    for encoder in shop.encoders:
        write_examples(shop.warehouse, SETTINGS, [step(encoder, DAY, EVENING)])
        every.append(keyed(shop.rows()))
    write_examples(shop.warehouse, SETTINGS, [step(shop.encoders[0], DAY, NOON), step(shop.encoders[1], NOON, EVENING)])
    got = keyed(shop.rows())
    compared = 0
    for pair, (at, similarity) in got.items():
        before, after = (found.get(pair) for found in every)
        if before and after and before != after:
            compared += 1
            assert similarity == (before if at < NOON else after)[1]
    assert compared > 100
    assert {at < NOON for at, _ in got.values()} == {True, False}


def test_pinned_examples_come_again_byte_for_byte(shop: Shop) -> None:
    from recsys.io import Commit
    from recsys.ranking.job import example_rows, pinned_of, steps_again, write_examples
    from recsys.ranking.pinned import Pinned

    def made(pinned: Pinned | None) -> Pinned:
        steps = steps_again(pinned) if pinned else [step(shop.encoders[0], DAY, EVENING)]
        versions = write_examples(shop.warehouse, SETTINGS, steps, pinned)
        rows = example_rows(shop.warehouse.view(), DAY, EVENING)
        return pinned_of(shop.warehouse, SETTINGS, steps, versions, rows)

    first, spark = made(None), shop.warehouse.spark
    more = [
        row | {"event_id": f"more-{row['event_id']}", "event_time": row["event_time"] + shift}
        for shift in (timedelta(minutes=-5), timedelta(days=2))  # late ones, and later ones
        for row in rows()
        if row["behaviour"] == "click"
    ]
    told = [row | {"event_date": row["event_time"].date()} for row in more]
    frame = spark.createDataFrame([tuple(row.get(name) for name in EVENTS.names) for row in told], EVENTS.ddl)
    commit = Commit(query="test", epoch=0, batch=1)
    version = shop.warehouse.write(EVENTS, frame.coalesce(1), commit)
    shop.warehouse.finish(commit, {EVENTS.name: version}, datetime.now(timezone.utc))
    assert made(None).sha256 != first.sha256
    again = made(first)
    assert again == first
