"""The selection's table and plots, as MLflow keeps them."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

from recsys.config import SelectionSettings, Settings
from recsys.monitor.report import render
from recsys.monitor.selection import bars, largest, log_selection, measured, table
from recsys.ranking.selected import Measured, Selected
from recsys.registry import tracking
from tests.monitor import sample
from tests.monitor.test_report import Page, empty

FOUND = Selected(
    settings=SelectionSettings(by=("correlation",), drop=("d",)),
    features=(
        Measured(feature="a", partner="b", correlation=-0.99, mutual_information=0.2, importance=0.1),
        Measured(feature="b", partner="a", correlation=-0.99, mutual_information=0.1, reason="alike, with a"),
        Measured(feature="c", mutual_information=0.3, importance=0.2),
        Measured(feature="d", reason="left out by hand"),
    ),
)


def test_the_table_has_a_row_for_each_feature() -> None:
    rows = {row["feature"]: row for row in csv.DictReader(io.StringIO(table(FOUND)))}
    assert list(rows) == ["a", "b", "c", "d"]
    assert {name: row["stays"] for name, row in rows.items()} == {"a": "True", "b": "False", "c": "True", "d": "False"}
    assert rows["b"]["reason"] == "alike, with a"
    assert (rows["a"]["correlation"], rows["b"]["importance"]) == ("-0.99", "")


def test_plots_show_the_largest_first_and_who_went() -> None:
    assert measured(FOUND) == ["importance", "mutual_information"]
    assert [one.feature for one in largest(FOUND, "mutual_information")] == ["c", "a", "b"]
    assert bars(FOUND, "mutual_information").lines == (("c", 0.3, True), ("a", 0.2, True), ("b", 0.1, False))


def test_a_run_keeps_table_and_plots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    settings = Settings(artifacts=f"{tmp_path}/a")
    with tracking.run(settings, "ranker", "2026-03-02", {}, {}) as run:
        log_selection(FOUND)
    folder = Path(mlflow.artifacts.download_artifacts(f"runs:/{run}/"))
    assert (folder / "selection.csv").read_text() == table(FOUND)
    plots = sorted(path.name for path in (folder / "plots").iterdir())
    assert plots == ["selection_importance.png", "selection_mutual_information.png"]
    assert mlflow.get_run(run).data.metrics["features_left_out"] == 2


def test_features_that_went_come_first_with_their_reason() -> None:
    found = Page(render(replace(empty(), selection=sample.selection())))
    assert found.row("view_count_7d")[:4] == ["rank correlation 0.990 with engaged_count_7d", "–", "0.0001", "0.32"]
    assert found.row("pair_similarity")[:4] == ["stays", "0.069", "0.028", "0"]
    assert [row[0] for row in found.rows[1:]] == ["view_count_7d", "engaged_count_7d", "pair_similarity"]
    only = Selected(settings=SelectionSettings(by=("chi2",), apply=False), features=sample.selection().features)
    assert (
        "Features left out: 0; the selection was only to report, else 1."
        in Page(render(replace(empty(), selection=only))).text
    )
