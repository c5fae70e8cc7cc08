"""What training logged comes back: the newest finished run of that name, metric by metric."""

from __future__ import annotations

import mlflow
import pytest

from recsys.config import Settings
from recsys.registry.history import Trained, trained
from recsys.registry.tracking import run

METRICS = ("loss", "recall", "absent")


def log(
    store: Settings, name: str, losses: list[tuple[int, float]], outcome: str = "promoted", dies: bool = False
) -> None:
    with run(store, "ranker", name, {}, {"events": 4}):
        mlflow.set_tag("decision.outcome", outcome)
        for epoch, loss in losses:
            mlflow.log_metric("loss", loss, step=epoch)
            mlflow.log_metric("recall", 1 - loss, step=epoch)
        if dies:
            raise KeyError("dead")


def test_curves_come_in_the_order_of_their_steps_and_tags_with_them(store: Settings) -> None:
    log(store, "2026-03-01", [(2, 0.25), (1, 0.5), (3, 0.125)])
    log(store, "2026-03-02", [(1, 0.75)])
    found = trained(store, "ranker", "2026-03-01", METRICS)
    assert found.series == {"loss": ((1, 2, 3), (0.5, 0.25, 0.125)), "recall": ((1, 2, 3), (0.5, 0.75, 0.875))}
    assert (found.tags["decision.outcome"], found.tags["table.events"]) == ("promoted", "4")


def test_the_newest_run_of_the_name_counts_and_failed_ones_do_not(store: Settings) -> None:
    log(store, "2026-03-01", [(1, 0.5)], "promoted")
    log(store, "2026-03-01", [(1, 0.25)], "refused")
    with pytest.raises(KeyError, match="dead"):
        log(store, "2026-03-01", [(1, 9.0)], dies=True)
    found = trained(store, "ranker", "2026-03-01", METRICS)
    assert found.series["loss"] == ((1,), (0.25,))
    assert found.tags["decision.outcome"] == "refused"


def test_a_day_or_model_without_a_run_is_empty(store: Settings) -> None:
    log(store, "2026-03-01", [(1, 0.5)])
    assert trained(store, "ranker", "2026-03-03", METRICS) == Trained()
    assert trained(store, "encoder", "2026-03-01", METRICS) == Trained()
