"""Training with a head for each target behaviour, on requests whose clicks and purchases want different items."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.config import RankerSettings
from recsys.errors import BundleError, NoDataError
from recsys.features.history import F32, F64, I64
from recsys.ranking.held import head_figures, held_out
from recsys.ranking.train import Examples, train_ranker
from recsys.ranking.trained import TrainedRanker
from recsys.ranking.validation import logloss

NAMES = ("a", "b", "c")
ITEMS = np.eye(3, dtype=np.float32)
CLICKED, BOUGHT = np.asarray([0.6, 0.3, 0.1]), np.asarray([0.1, 0.3, 0.6])
PURCHASES = 0.25  # of the requests
DRAWS = np.asarray([2.0, 1.0, 0.5])  # of each item in a request
EXACT = {
    "hidden": (),
    "cross": 0,
    "batch": 512,
    "lr": 0.02,
    "weight_decay": 0.0,
    "dropout": 0.0,
    "epochs": 10,
    "patience": 10,
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def settings(tasks: dict[str, float], **other: object) -> RankerSettings:
    return RankerSettings.model_validate(EXACT | {"tasks": tasks} | other)


def examples(seed: int, requests: int = 4000, bought: F64 = BOUGHT) -> Examples:
    """Three items, each told by a feature of its own; shares of labels and draws are exact, their order is random."""
    random = np.random.default_rng(seed)
    purchase = np.arange(requests) % round(1 / PURCHASES) == 0
    label = np.where(purchase, shuffled(bought, requests, random), shuffled(CLICKED, requests, random))
    times = np.stack([np.full(requests, 2), np.ones(requests, int), shuffled(DRAWS[2:], requests, random)], axis=1)
    item = np.concatenate([label, np.repeat(np.tile(np.arange(3), requests), times.ravel())])
    request = np.concatenate([np.arange(requests), np.repeat(np.repeat(np.arange(requests), 3), times.ravel())])
    y = np.arange(len(item)) < requests
    return Examples(
        x=ITEMS[item],
        y=y.astype(np.float32),
        request=request,
        at=request * 1_000_000 + seed * 10**12,
        user=request,
        offset=np.log(DRAWS)[item].astype(np.float32),
        outcomes=y[:, None] & np.stack([~purchase, purchase], axis=1)[request],
    )


def shuffled(shares: F64, count: int, random: np.random.Generator) -> I64:
    """Places of `shares` that often, the last one for what is left; of every fourth as of the others."""
    every = np.searchsorted(np.cumsum(shares) - 1e-9, np.arange(count // 4) / (count // 4), side="right")
    return np.concatenate([random.permutation(every)[:, None] for _ in range(4)], axis=1).ravel()


def chances(logits: F32) -> F64:
    """A logit is the log of the item's chance."""
    return np.exp(logits.astype(np.float64))


@pytest.fixture(scope="module")
def alike() -> TrainedRanker:
    torch.set_num_threads(1)
    return train_ranker(examples(0), settings({"purchase": 1, "click": 1}), 1, NAMES)[0]


def test_each_head_knows_its_own_chances_and_together_they_are_those_of_any_target(alike: TrainedRanker) -> None:
    assert [task.behaviour for task in alike.shape.tasks or ()] == ["click", "purchase"]
    shares = [task.share for task in alike.shape.tasks or ()]
    assert shares == pytest.approx([1 - PURCHASES, PURCHASES], abs=0.02)
    click, purchase = chances(alike.heads(ITEMS)).T
    assert click == pytest.approx(CLICKED, rel=0.15)
    assert purchase == pytest.approx(BOUGHT, rel=0.15)
    whole = (1 - PURCHASES) * CLICKED + PURCHASES * BOUGHT
    assert chances(alike.logits(ITEMS)) == pytest.approx(whole, rel=0.1)
    assert alike.score(ITEMS) == pytest.approx(whole / (1 + whole), rel=0.1)


def test_what_counts_more_has_more_of_the_score_and_stays_calibrated() -> None:
    """Three times .25 beside .75: half of the score is of purchases."""
    conf = settings({"click": 1, "purchase": 3})
    ranker, logs = train_ranker(examples(0), conf, 1, NAMES)
    assert chances(ranker.logits(ITEMS)) == pytest.approx((CLICKED + BOUGHT) / 2, rel=0.1)
    labels, chance, weight = held_out(ranker, examples(0), conf)
    assert set(weight.tolist()) == {1.0, 3.0}
    assert logloss(labels, chance, weight) == pytest.approx(min(log.validation_logloss for log in logs), abs=1e-6)
    means = [
        (np.average(labels[own], weights=weight[own]), labels[own].mean(), chance[own].mean())
        for own in (chance == value for value in np.unique(chance))
    ]
    assert len(means) == 3
    weighted, plain, told = np.asarray(means).T
    assert told == pytest.approx(weighted, abs=0.04)
    assert np.abs(told - plain).max() > 0.1


def test_figures_of_the_heads(alike: TrainedRanker) -> None:
    found = head_figures(alike, examples(0), settings({"purchase": 1, "click": 1}))
    assert set(found) == {
        f"{name}.{task}" for name in ("validation_auc", "validation_logloss", "share") for task in ("click", "purchase")
    }
    # Odds of label and draw are .3, .3 and .2 of clicks, .05, .3 and 1.2 of purchases: little and much to tell.
    assert 0.45 < found["validation_auc.click"] < 0.6
    assert found["validation_auc.purchase"] > 0.65
    assert 0 < found["validation_logloss.click"] < 1
    alone, _ = train_ranker(examples(0, 100), settings({}, epochs=1), 1, NAMES)
    assert head_figures(alone, examples(0, 100), settings({})) == {}


def test_an_increment_goes_on_with_heads_and_shares(alike: TrainedRanker) -> None:
    conf = settings({"click": 1, "purchase": 1})
    turned, logs = train_ranker(examples(1, bought=CLICKED), conf, 1, NAMES, start=alike)
    assert [log.epoch for log in logs] == [0, 1, 2]
    assert turned.shape.tasks == alike.shape.tasks
    before, after = (chances(ranker.heads(ITEMS))[:, 1] for ranker in (alike, turned))
    assert after[0] > 2 * before[0]
    assert chances(turned.heads(ITEMS))[:, 0] == pytest.approx(CLICKED, rel=0.3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tasks": {}}, r"other ranker\.tasks than"),
        ({"tasks": {"click": 1, "purchase": 2}}, r"other ranker\.tasks than"),
        ({"task_weights": "learned"}, r"other ranker\.task_weights than"),
    ],
)
def test_other_heads_than_the_starts_are_refused(alike: TrainedRanker, change: dict[str, object], says: str) -> None:
    conf = settings({"click": 1, "purchase": 1}).model_copy(update=change)
    with pytest.raises(BundleError, match=says):
        train_ranker(examples(1), conf, 1, NAMES, start=alike)


def test_learned_weights_are_kept_and_a_rare_head_still_learns(tmp_path: Path) -> None:
    conf = settings({"click": 1, "purchase": 1}, task_weights="learned")
    ranker, _ = train_ranker(examples(0), conf, 1, NAMES)
    click, purchase = chances(ranker.heads(ITEMS)).T
    assert click == pytest.approx(CLICKED, rel=0.2)
    assert purchase == pytest.approx(BOUGHT, rel=0.2)
    assert ranker.model.log_variance is not None
    assert (ranker.model.log_variance != 0).all()
    ranker.save(tmp_path)
    again = TrainedRanker.load(tmp_path)
    assert again.shape == ranker.shape
    assert again.score(ITEMS).tobytes() == ranker.score(ITEMS).tobytes()
    assert again.heads(ITEMS).tobytes() == ranker.heads(ITEMS).tobytes()
    assert again.model.log_variance is not None
    assert torch.equal(again.model.log_variance, ranker.model.log_variance)
    more, _ = train_ranker(examples(1, 500), conf, 1, NAMES, start=again)
    assert more.shape.tasks == ranker.shape.tasks


def test_a_behaviour_that_never_occurred_has_no_part_in_the_score() -> None:
    data = examples(0, 500)
    outcomes = np.concatenate([np.asarray(data.outcomes), np.zeros((len(data.y), 1), dtype=np.bool_)], axis=1)
    conf = settings({"click": 1, "purchase": 1, "rating": 5}, epochs=1)
    ranker, logs = train_ranker(replace(data, outcomes=outcomes), conf, 1, NAMES)
    assert ranker.shape.tasks is not None
    assert ranker.shape.tasks[2].share == 0
    assert np.isfinite([logs[-1].loss, logs[-1].validation_logloss]).all()
    assert np.isfinite(ranker.score(ITEMS)).all()
    assert np.isnan(head_figures(ranker, replace(data, outcomes=outcomes), conf)["validation_auc.rating"])


def test_examples_that_do_not_tell_behaviours_apart_are_refused() -> None:
    with pytest.raises(NoDataError, match="do not tell click, purchase apart"):
        train_ranker(replace(examples(0, 48), outcomes=None), settings({"click": 1, "purchase": 1}), 1, NAMES)
