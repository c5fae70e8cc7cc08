"""What is refused, and what programs read; tests.jobs.test_night measures a whole day."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from recsys.config import Settings
from recsys.errors import RefusedError
from recsys.io import View, Warehouse
from recsys.monitor.evaluate import evaluate_day, known, report_folder, summary
from recsys.registry.bundle import Bundle, save
from tests.monitor.sample import data
from tests.registry.conftest import SETTINGS, encoder, ranker, snapshot

NO_SPARK: Any = None


class Reached(Warehouse):
    """Whoever reads it was not refused."""

    def view(self) -> View:
        raise KeyError("the tables")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """It has learned from behaviours up to 2025-10-09 08:53:20 UTC."""
    return save(tmp_path_factory.mktemp("bundle") / "b", encoder(1), ranker(1), snapshot(), SETTINGS, {})


@pytest.mark.parametrize(
    ("day", "zone"),
    [
        (date(2025, 10, 9), "UTC"),
        (date(2025, 10, 1), "UTC"),
        (date(2025, 10, 9), "America/New_York"),  # starts at 04:00 UTC
    ],
)
def test_a_day_that_the_bundle_has_learned_from_is_refused_before_anything_is_read(
    bundle: Bundle, tmp_path: Path, day: date, zone: str
) -> None:
    settings = SETTINGS.model_copy(update={"artifacts": str(tmp_path / "a"), "timezone": zone})
    with pytest.raises(RefusedError, match=rf"up to 2025-10-09T08:53:20\S*: measured on {day} it would be flattered"):
        evaluate_day(Warehouse(NO_SPARK, "nowhere"), settings, "simulate", day, bundle)
    assert not report_folder(settings, day).exists()


@pytest.mark.parametrize(("day", "zone"), [(date(2025, 10, 10), "UTC"), (date(2025, 10, 9), "Pacific/Honolulu")])
def test_a_day_that_begins_later_is_not(bundle: Bundle, tmp_path: Path, day: date, zone: str) -> None:
    settings = SETTINGS.model_copy(update={"artifacts": str(tmp_path), "timezone": zone})
    with pytest.raises(KeyError, match="the tables"):
        evaluate_day(Reached(NO_SPARK, "nowhere"), settings, "simulate", day, bundle)


def test_the_report_lies_below_the_artifacts(tmp_path: Path) -> None:
    assert report_folder(Settings(artifacts=str(tmp_path)), date(2026, 3, 2)) == tmp_path / "reports" / "2026-03-02"


def test_the_summary_is_plain_json_with_the_figures_of_the_page() -> None:
    page = data()
    found = json.loads(json.dumps(summary(page), default=str))
    assert (found["source"], found["day"], found["bundle"], found["seed"]) == (
        "simulate",
        "2024-03-31",
        page.bundle,
        page.seed,
    )
    assert found["verdict"] == page.verdict
    assert found["batches"][0]["accepted"] == 1012345
    assert found["metrics"].keys() == {"frozen", "streaming"}
    assert len(found["metrics"]["frozen"]) == page.metrics.num_rows
    assert [line["verdict"] for line in found["realism"]] == ["inside", "inside", "below"]
    assert found["bots"] == {"found": 97, "true": 100, "precision": 0.99, "recall": 0.96}
    assert found["samples"][0]["items"][2]["name"] == "Mug, white"
    assert found["versions"]["events"] == 31


def test_what_is_not_defined_is_null() -> None:
    rows = {"auc": [{"value": float("nan"), "model": "a"}, {"value": 0.5}], "versions": {"events": 3}, "pair": (1, "x")}
    wanted = {"auc": [{"value": None, "model": "a"}, {"value": 0.5}], "versions": {"events": 3}, "pair": [1, "x"]}
    assert json.loads(json.dumps(known(rows), allow_nan=False)) == wanted


def test_a_source_without_a_truth_has_no_bots() -> None:
    found = summary(replace(data(), bots=None, realism=(), streaming=None))
    assert (found["bots"], found["realism"]) == (None, [])
    metrics = found["metrics"]
    assert isinstance(metrics, dict)
    assert metrics.keys() == {"frozen"}
