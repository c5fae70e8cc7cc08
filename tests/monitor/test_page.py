"""What the page says, gathered from small tables."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from recsys.config import Settings, TopNSettings
from recsys.monitor import page
from recsys.monitor.report_data import Curve, QueryTotals, Recommended, Sample
from recsys.registry.history import Trained
from recsys.tables import (
    EVENTS,
    ITEMS,
    RECENT_FIELDS,
    RECOMMENDATIONS,
    REJECTED_EVENTS,
    USER_PROFILES,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from recsys.io import View, Warehouse

DAY = date(2026, 3, 2)
NOW = datetime(2026, 3, 2, 10, tzinfo=timezone.utc)
SETTINGS = Settings(topn=TopNSettings(n=2))


def behaviour(number: int, kind: str, item: str | None) -> tuple[Any, ...]:
    told = {"event_id": f"{number}", "event_time": NOW, "behaviour": kind, "item_id": item, "quantity": 1}
    return tuple(told.get(name) for name in RECENT_FIELDS)


def profile(user: str, minutes: int, behaviours: int) -> dict[str, Any]:
    kinds = [("view", "a"), ("rating", "b"), ("search", None)] + [("purchase", "c")] * 9
    recent = [behaviour(n, *kinds[behaviours - 1 - n]) for n in range(behaviours)]  # newest last: a view of a
    return {"user_id": user * 10, "as_of": NOW + timedelta(minutes=minutes), "recent": recent, "epoch": 0, "batch": 0}


def listed(user: str, items: list[str], batch: int = 0) -> dict[str, Any]:
    entries = [(item, 0.5 - n / 8, "neighbours", f"because of {item}") for n, item in enumerate(items)]
    return {"user_id": user * 10, "bundle": "b", "at": NOW, "items": entries, "epoch": 0, "batch": batch}


ROWS: dict[str, list[dict[str, Any]]] = {
    "events": [
        {"event_id": "1", "event_time": datetime(2026, 2, 27, 23, 59, tzinfo=timezone.utc)},
        {"event_id": "2", "event_time": datetime(2026, 3, 2, 8, 5, tzinfo=timezone.utc)},
    ],
    "rejected_events": [{"reasons": ["malformed"]}, {"reasons": ["malformed", "missing:item_id"]}],
    "items": [
        {"item_id": "a", "title": "Teapot", "valid_from": NOW},
        {"item_id": "a", "title": "Old teapot", "valid_from": NOW - timedelta(days=1), "valid_to": NOW},
        {"item_id": "b", "title": None, "valid_from": NOW},
    ],
    "user_profiles": [profile("u", 1, 8), profile("v", 3, 9), profile("w", 2, 7), profile("x", 9, 9)],
    "recommendations": [
        listed("u", ["a", "c", "b"]),
        listed("v", ["b"]),
        listed("v", ["b", "a"], 1),
        listed("w", ["a"]),
        listed("x", []),
    ],
}


@pytest.fixture(scope="module")
def warehouse(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    from recsys.io import Accounting, Commit, Warehouse

    made = Warehouse(spark, str(tmp_path_factory.mktemp("page")))
    versions = {}
    for table in (EVENTS, REJECTED_EVENTS, ITEMS, USER_PROFILES, RECOMMENDATIONS):
        rows = [tuple(row.get(n) for n in table.names) for row in ROWS[table.name]]
        commit = Commit(query="events", epoch=0, batch=0)
        versions[table.name] = made.write(table, spark.createDataFrame(rows, table.ddl).coalesce(1), commit)
    counts = [(10, 7, 1, 2), (0, 0, 0, 0), (5, 5, 0, 0)]
    for batch, (rows_in, accepted, duplicate, rejected) in enumerate(counts):
        count = Accounting(rows_in=rows_in, accepted=accepted, duplicate=duplicate, rejected=rejected)
        made.finish(Commit(query="events", epoch=0, batch=batch), versions, NOW, count)
    made.finish(Commit(query="user_profiles", epoch=0, batch=0), {}, NOW, Accounting(rows_in=12, accepted=12))
    made.finish(Commit(query="embed", epoch=0, batch=0, replayed=False), {}, NOW)
    return made


@pytest.fixture
def view(warehouse: Warehouse) -> View:
    return warehouse.view()


def test_totals_are_of_queries_that_read_rows(view: View) -> None:
    assert page.totals(view) == (
        QueryTotals(query="events", batches=2, rows_in=15, accepted=12, duplicate=1, rejected=2),
        QueryTotals(query="user_profiles", batches=1, rows_in=12, accepted=12, duplicate=0, rejected=0),
    )


def test_facts_and_reasons_by_hand(view: View) -> None:
    assert page.facts(view) == {
        "First event, UTC": "2026-02-27 23:59",
        "Last event, UTC": "2026-03-02 08:05",
        "Items in the catalogue": "2",
    }
    assert page.reasons(view) == {"malformed": 2, "missing:item_id": 1}


def test_samples_are_the_newest_users_with_enough_behaviours_by_names_of_items(view: View) -> None:
    recent = ("viewed Teapot", "rated b", "searched", *("bought c",) * 5)
    assert page.samples(view, SETTINGS) == (
        # v came after u; w has too few behaviours, x has no list. b has no title, c is in no catalogue.
        Sample(user="vvvvvvvv", recent=recent, items=(shown("b", "b", 0.5), shown("Teapot", "a", 0.375))),
        Sample(user="uuuuuuuu", recent=recent, items=(shown("Teapot", "a", 0.5), shown("c", "c", 0.375))),
    )


def shown(name: str, item: str, score: float) -> Recommended:
    return Recommended(name=name, score=score, source="neighbours", reason=f"because of {item}")


def test_a_warehouse_without_lists_and_rejections_has_neither(warehouse: Warehouse) -> None:
    from recsys.io import View

    empty = View(warehouse, {})
    assert page.samples(empty, SETTINGS) == ()
    assert page.reasons(empty) == {}


def kept(monkeypatch: pytest.MonkeyPatch, runs: dict[str, Trained]) -> None:
    """Stand in for MLflow, which tests.registry.test_history reads."""

    def trained(settings: Settings, model: str, name: str, metrics: tuple[str, ...]) -> Trained:
        assert name == "2026-03-02"
        found = runs.get(model, Trained())
        return Trained(series={m: s for m, s in found.series.items() if m in metrics}, tags=found.tags)

    monkeypatch.setattr(page, "trained", trained)


def test_the_verdict_says_what_became_of_the_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = {"outcome": "refused", "version": "2", "reason": "it was not ahead; version 1 stays champion"}
    kept(monkeypatch, {"ranker": Trained(tags={f"decision.{key}": value for key, value in tags.items()})})
    assert page.verdict(SETTINGS, DAY) == "Version 2 was refused: it was not ahead; version 1 stays champion."
    kept(monkeypatch, {})
    assert page.verdict(SETTINGS, DAY) == ""


def test_curves_are_those_that_were_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Trained(series={"loss": ((1, 2), (0.5, 0.25)), "cpu_seconds": ((1,), (3.0,))})
    ranker = Trained(series={"loss": ((1,), (0.75,)), "validation_auc": ((1,), (0.625,))})
    kept(monkeypatch, {"encoder": encoder, "ranker": ranker})
    assert page.curves(SETTINGS, DAY) == (
        Curve(model="encoder", what="loss, nats", series="training", epochs=(1, 2), values=(0.5, 0.25)),
        Curve(model="ranker", what="log loss", series="training", epochs=(1,), values=(0.75,)),
        Curve(model="ranker", what="AUC", series="validation", epochs=(1,), values=(0.625,)),
    )
