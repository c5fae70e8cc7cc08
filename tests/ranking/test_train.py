from dataclasses import replace

import numpy as np
import pytest
import torch

from recsys.config import RankerSettings
from recsys.errors import BundleError, NoDataError
from recsys.ranking.gate import look
from recsys.ranking.held import held_out
from recsys.ranking.train import EpochLog, Examples, best_epoch, train_ranker
from recsys.ranking.validation import area_under_curve, logloss, reliability

NAMES = ("a", "b", "noise")
SMALL = RankerSettings(hidden=(16,), epochs=12, batch=256, lr=0.01, patience=3)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def examples(seed: int, count: int = 3000, flip: float = 1.0) -> Examples:
    """Label 1 with probability sigmoid(3 a b): only the product of two features tells; some of `noise` is missing."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 3)).astype(np.float32)
    chance = 1 / (1 + np.exp(-3 * flip * x[:, 0] * x[:, 1]))
    y = (random.random(count) < chance).astype(np.float32)
    x[random.random(count) < 0.2, 2] = np.nan
    request = np.arange(count) // 5
    at = request * 1_000_000 + seed * 10**12
    return Examples(x=x, y=y, request=request, at=at, user=request, offset=np.zeros(count, dtype=np.float32))


def test_it_learns_a_product_of_features_and_stops_at_the_best_epoch() -> None:
    data = examples(0)
    seen: list[EpochLog] = []
    ranker, logs = train_ranker(data, SMALL, 1, NAMES, on_epoch=seen.append)
    assert seen == logs
    fresh = examples(5)
    assert area_under_curve(fresh.y, ranker.score(fresh.x)) > 0.8
    best = min(logs, key=lambda log: log.validation_logloss)
    assert best_epoch(logs) == best.epoch
    assert len(logs) <= best.epoch + SMALL.patience
    held = data.at >= np.sort(data.at)[int(len(data.at) * 0.9)]
    expected = area_under_curve(data.y[held], ranker.score(data.x[held]))
    assert best.validation_auc == pytest.approx(expected, abs=1e-6)
    labels, chance, weight = held_out(ranker, data, SMALL)
    assert set(weight.tolist()) == {1.0}
    assert labels.tolist() == data.y[held].tolist()
    assert logloss(labels, chance) == pytest.approx(best.validation_logloss, abs=1e-6)
    assert reliability(labels, chance).error < 0.1


def test_a_ranker_keeps_what_it_has_seen_last() -> None:
    start, _ = train_ranker(examples(0), SMALL, 1, NAMES)
    after, _ = train_ranker(examples(1), SMALL, 1, NAMES, start=start)
    first, second = (look(data.x, data.y, data.request) for data in (examples(0), examples(1)))
    assert (start.shape.seen, after.shape.seen) == (first, second)
    assert first != second


def test_scores_are_the_chances_of_items_however_often_each_was_drawn() -> None:
    """Three items with chances .6, .3, .1; the first is drawn 4 times a request, the others .5 and .25 times."""
    random, requests = np.random.default_rng(3), 20_000
    chance, draws = np.asarray([0.6, 0.3, 0.1]), np.asarray([4.0, 0.5, 0.25])
    label = random.choice(3, requests, p=chance)
    drawn = random.poisson(draws, (requests, 3)).ravel()
    item = np.concatenate([label, np.repeat(np.tile(np.arange(3), requests), drawn)])
    request = np.concatenate([np.arange(requests), np.repeat(np.repeat(np.arange(requests), 3), drawn)])
    y = np.concatenate([np.ones(requests), np.zeros(drawn.sum())]).astype(np.float32)
    eye = np.eye(3, dtype=np.float32)
    offset = np.log(draws)[item].astype(np.float32)
    data = Examples(x=eye[item], y=y, request=request, at=request * 1_000_000, user=request, offset=offset)
    exact = SMALL.model_copy(update={"weight_decay": 0.0, "epochs": 30, "patience": 30, "dropout": 0.0, "batch": 2048})
    ranker, _ = train_ranker(data, exact, 1, NAMES)
    # exp(logit) is the chance itself
    assert ranker.score(eye) == pytest.approx(chance / (1 + chance), rel=0.1)
    uncorrected, _ = train_ranker(replace(data, offset=np.zeros_like(offset)), exact, 1, NAMES)
    assert uncorrected.score(eye)[0] < uncorrected.score(eye)[1]  # what is drawn most looks worst


def test_the_seed_decides_everything() -> None:
    data = examples(0, 600)
    before = torch.get_rng_state()
    one, _ = train_ranker(data, SMALL, 7, NAMES)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(123)
    two, _ = train_ranker(data, SMALL, 7, NAMES)
    three, _ = train_ranker(data, SMALL, 8, NAMES)
    assert one.score(data.x).tolist() == two.score(data.x).tolist()
    assert one.score(data.x).tolist() != three.score(data.x).tolist()


def test_a_warm_start_keeps_the_scaling_and_follows_what_is_new() -> None:
    start, _ = train_ranker(examples(0), SMALL, 1, NAMES)
    old = start.score(examples(0).x)
    ranker, logs = train_ranker(examples(1, flip=-1.0), SMALL, 1, NAMES, start=start)
    assert [log.epoch for log in logs] == [0, 1, 2]
    assert logs[2].validation_logloss < logs[0].validation_logloss
    assert ranker.inputs is not start.inputs
    np.testing.assert_array_equal(ranker.inputs.standardisation.mean, start.inputs.standardisation.mean)
    np.testing.assert_array_equal(start.score(examples(0).x), old)  # the start itself is untouched


def test_where_nothing_gets_better_the_start_is_returned() -> None:
    start, _ = train_ranker(examples(0), SMALL, 1, NAMES)
    data = examples(0)
    ruinous = SMALL.model_copy(update={"lr": 10.0})
    ranker, logs = train_ranker(data, ruinous, 1, NAMES, start=start)
    assert best_epoch(logs) == 0
    np.testing.assert_array_equal(ranker.score(data.x), start.score(data.x))


def test_one_class_and_other_features_are_refused() -> None:
    data = examples(0, 100)
    with pytest.raises(NoDataError, match="hold 0 positives"):
        train_ranker(replace(data, y=np.zeros_like(data.y)), SMALL, 1, NAMES)
    start, _ = train_ranker(data, SMALL, 1, NAMES)
    with pytest.raises(BundleError, match="'c'"):
        train_ranker(data, SMALL, 1, ("a", "b", "c"), start=start)


def test_a_last_batch_of_one_does_not_break_batch_norm() -> None:
    _, logs = train_ranker(examples(0, 100), SMALL.model_copy(update={"batch": 89, "epochs": 1}), 1, NAMES)
    assert logs[0].examples == 89  # 90 older ones, 10 held out
