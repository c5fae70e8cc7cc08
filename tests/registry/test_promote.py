"""The alias: it moves to a better version that was loaded back, and only then; each decision is kept in tags."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from recsys.config import Settings
from recsys.errors import BundleError, NoDataError, RefusedError
from recsys.registry import moves
from recsys.registry import promote as promotion
from recsys.registry.alias import Decision
from recsys.registry.bundle import Bundle
from recsys.registry.client import champion
from recsys.registry.compare import Paired
from recsys.registry.promote import promote
from tests.registry.conftest import MakeBundle, requests

BATCH = requests("i01", "i02")
Step = Callable[[int, float], Decision]


def measured(gain: float) -> Paired:
    """40 requests of 40 users, the challenger ahead by `gain` in each."""
    champion_ = np.linspace(0.1, 0.5, 40)
    return Paired(metric="ndcg@10", challenger=champion_ + gain, champion=champion_, user=np.arange(40))


@pytest.fixture(scope="module")
def bundles(make_bundle: MakeBundle, tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    return [make_bundle(tmp_path_factory.mktemp("bundles") / f"b{seed}", seed) for seed in range(3)]


@pytest.fixture
def step(bundles: list[Bundle], store: Settings, tmp_path: Path) -> Step:
    """`step(number, gain)` tries to promote a bundle that is ahead by `gain`."""
    return lambda number, gain: promote(
        bundles[number].folder, store, BATCH, lambda challenger, present: measured(gain), tmp_path / "work"
    )


def now(store: Settings) -> str | None:
    found = champion(store.registry)
    return None if found is None else str(found.version)


def tags(store: Settings, version: str) -> dict[str, str]:
    found: dict[str, str] = mlflow.MlflowClient().get_model_version(store.registry.model, version).tags
    return found


def test_the_first_version_is_champion_without_a_comparison(
    bundles: list[Bundle], store: Settings, tmp_path: Path
) -> None:
    assert now(store) is None

    def unused(challenger: Bundle, present: Bundle) -> Paired:
        raise KeyError("there is nothing to compare with")

    found = promote(bundles[0].folder, store, BATCH, unused, tmp_path / "work")
    assert (found.outcome, found.version, found.previous, found.bundle) == ("promoted", "1", None, bundles[0].id)
    found.require()
    assert now(store) == "1"
    kept = tags(store, "1")
    assert kept["bundle"] == bundles[0].id
    assert (kept["table.events"], kept["table.examples"]) == ("7", "3")
    assert (kept["decision.outcome"], kept["decision.reason"]) == ("promoted", "there was no champion")


def test_a_better_version_moves_the_alias_and_a_worse_one_says_why_not(
    bundles: list[Bundle], store: Settings, tmp_path: Path, step: Step
) -> None:
    step(0, 0.0)
    seen: list[tuple[str, str]] = []

    def evaluate(challenger: Bundle, present: Bundle) -> Paired:
        assert now(store) == "1"
        seen.append((challenger.id, present.id))
        assert challenger.folder.is_relative_to(tmp_path)
        assert present.folder.is_relative_to(tmp_path)
        return measured(0.02)

    better = promote(bundles[1].folder, store, BATCH, evaluate, tmp_path / "work")
    assert seen == [(bundles[1].id, bundles[0].id)]
    assert (better.outcome, better.version, better.previous, now(store)) == ("promoted", "2", "1", "2")
    assert tags(store, "2")["decision.gain"] == str(better.comparison and better.comparison.gain)

    worse = step(2, -0.02)
    assert (worse.outcome, worse.version, worse.previous, now(store)) == ("refused", "3", "2", "2")
    kept = tags(store, "3")
    assert kept["decision.outcome"] == "refused"
    assert "gain -0.0200 [-0.0200, -0.0200], ahead in 0.0% of resamples, wanted 90%; version 2 stays" in worse.reason
    assert kept["decision.reason"] == worse.reason
    description = mlflow.MlflowClient().get_model_version(store.registry.model, "3").description
    assert description.startswith(f"# Bundle {bundles[2].id}\n")
    assert f"**Decision:** refused; {worse.reason}." in description
    with pytest.raises(RefusedError, match=r"Version 3 was not promoted: ndcg@10 .* version 2 stays champion\.$"):
        worse.require()


def test_a_gain_that_is_not_certain_is_refused(bundles: list[Bundle], store: Settings, tmp_path: Path) -> None:
    noisy = measured(0.0)
    noise = np.random.default_rng(0).normal(0, 0.1, 40)
    uncertain = Paired(
        metric=noisy.metric,
        challenger=noisy.champion + noise - noise.mean() + 0.005,  # ahead by 0.005 on average, give or take 0.016
        champion=noisy.champion,
        user=noisy.user,
    )
    promote(bundles[0].folder, store, BATCH, lambda *_: uncertain, tmp_path / "work")
    found = promote(bundles[1].folder, store, BATCH, lambda *_: uncertain, tmp_path / "work")
    assert found.comparison is not None
    assert found.comparison.gain > 0
    assert 0.5 < found.comparison.ahead < 0.9
    assert (found.outcome, now(store)) == ("refused", "1")


def test_equal_models_are_refused(step: Step, store: Settings) -> None:
    step(0, 0.0)
    assert (step(0, 0.0).outcome, now(store)) == ("refused", "1")


def not_finite(answers: pd.DataFrame) -> Any:
    return answers.assign(scores=answers["scores"].map(lambda row: [float("nan")] * len(row)))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (not_finite, "6 of them not finite"),
        (lambda answers: answers.head(1), "answered 1 of 2 requests"),
        (lambda answers: answers.assign(scores=[[], []]), "with 0 scores"),
    ],
)
def test_a_bundle_that_does_not_answer_is_refused(
    step: Step, store: Settings, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[pd.DataFrame], Any], says: str
) -> None:
    from recsys.registry import consumer

    step(0, 0.0)
    answer = consumer.answer
    monkeypatch.setattr(consumer, "answer", lambda bundle, asked: spoil(answer(bundle, asked)))
    with pytest.raises(BundleError, match=says):
        step(1, 0.5)
    assert now(store) == "1"
    kept = tags(store, "2")
    assert kept["decision.outcome"] == "refused"
    assert says in kept["decision.reason"]


def test_a_batch_that_the_bundle_cannot_read_is_refused(bundles: list[Bundle], store: Settings, tmp_path: Path) -> None:
    odd = pd.DataFrame({"recent": [[{"behaviour": "teleport", "event_time": 1_760_000_000_000_000}]]})
    with pytest.raises(BundleError, match="teleport"):
        promote(bundles[0].folder, store, odd, lambda *_: measured(1.0), tmp_path / "work")
    assert now(store) is None
    assert "teleport" in tags(store, "1")["decision.reason"]


def test_what_is_no_sound_bundle_is_not_even_registered(
    make_bundle: MakeBundle, store: Settings, tmp_path: Path
) -> None:
    make_bundle(tmp_path / "b", 5)
    (tmp_path / "b" / "items.parquet").unlink()
    with pytest.raises(BundleError, match="is missing"):
        promote(tmp_path / "b", store, BATCH, lambda *_: measured(1.0), tmp_path / "work")
    assert mlflow.MlflowClient().search_registered_models() == []


@pytest.mark.parametrize("point", ["fetch", "_answers", "compare"])
def test_a_run_that_dies_before_the_end_leaves_the_alias(
    step: Step, store: Settings, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    step(0, 0.0)

    def killed(*args: object) -> None:
        raise KeyError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(promotion, point, killed)
        with pytest.raises(KeyError, match="killed"):
            step(1, 0.5)
    assert now(store) == "1"
    assert (step(1, 0.5).version, now(store)) == ("3", "3")


def test_the_alias_moves_last(step: Step, store: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    step(0, 0.0)
    done: list[str] = []

    def noted(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def call(*args: Any) -> Any:
            found = real(*args)
            done.append(name)
            return found

        monkeypatch.setattr(owner, name, call)

    noted(promotion, "fetch")
    noted(promotion, "_answers")
    noted(moves, "enter")
    noted(mlflow.MlflowClient, "set_registered_model_alias")
    step(1, 0.5)
    assert done == ["fetch", "_answers", "fetch", "enter", "set_registered_model_alias"]


def test_no_request_to_compare_on_is_named(bundles: list[Bundle], store: Settings, tmp_path: Path, step: Step) -> None:
    step(0, 0.0)
    nothing = Paired(metric="m", challenger=np.zeros(0), champion=np.zeros(0), user=np.zeros(0, dtype=np.int64))
    with pytest.raises(NoDataError, match="no request"):
        promote(bundles[1].folder, store, BATCH, lambda *_: nothing, tmp_path / "work")
    assert now(store) == "1"
