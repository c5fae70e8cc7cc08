import numpy as np
import pytest
import torch

from recsys.config import RankerSettings
from recsys.errors import BundleError, NoDataError
from recsys.features.history import F32, I64
from recsys.ranking.train import EpochLog, best_epoch, train_ranker
from recsys.ranking.validation import area_under_curve

NAMES = ("a", "b", "noise")
SMALL = RankerSettings(hidden=(16,), epochs=12, batch=256, lr=0.01, patience=3)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def examples(seed: int, count: int = 3000, flip: float = 1.0) -> tuple[F32, F32, I64, I64]:
    """Label 1 with probability sigmoid(3 a b): only the product of two features tells; some of `noise` is missing."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 3)).astype(np.float32)
    chance = 1 / (1 + np.exp(-3 * flip * x[:, 0] * x[:, 1]))
    y = (random.random(count) < chance).astype(np.float32)
    x[random.random(count) < 0.2, 2] = np.nan
    request = np.arange(count) // 5
    return x, y, request, request * 1_000_000 + seed * 10**12


def test_it_learns_a_product_of_features_and_stops_at_the_best_epoch() -> None:
    x, y, request, at = examples(0)
    seen: list[EpochLog] = []
    ranker, logs = train_ranker(x, y, request, at, SMALL, 1, NAMES, on_epoch=seen.append)
    assert seen == logs
    fresh, labels, *_ = examples(5)
    assert area_under_curve(labels, ranker.score(fresh)) > 0.8
    best = min(logs, key=lambda log: log.validation_logloss)
    assert best_epoch(logs) == best.epoch
    assert len(logs) <= best.epoch + SMALL.patience
    held = at >= np.sort(at)[int(len(at) * 0.9)]
    assert best.validation_auc == pytest.approx(area_under_curve(y[held], ranker.score(x[held])), abs=1e-6)


def test_the_seed_decides_everything() -> None:
    data = examples(0, 600)
    before = torch.get_rng_state()
    one, _ = train_ranker(*data, SMALL, 7, NAMES)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(123)
    two, _ = train_ranker(*data, SMALL, 7, NAMES)
    three, _ = train_ranker(*data, SMALL, 8, NAMES)
    assert one.score(data[0]).tolist() == two.score(data[0]).tolist()
    assert one.score(data[0]).tolist() != three.score(data[0]).tolist()


def test_a_warm_start_keeps_the_scaling_and_follows_what_is_new() -> None:
    start, _ = train_ranker(*examples(0), SMALL, 1, NAMES)
    old = start.score(examples(0)[0])
    x, y, request, at = examples(1, flip=-1.0)
    ranker, logs = train_ranker(x, y, request, at, SMALL, 1, NAMES, start=start)
    assert [log.epoch for log in logs] == [0, 1, 2]
    assert logs[2].validation_logloss < logs[0].validation_logloss
    assert ranker.standardisation is not start.standardisation
    np.testing.assert_array_equal(ranker.standardisation.mean, start.standardisation.mean)
    np.testing.assert_array_equal(start.score(examples(0)[0]), old)  # the start itself is untouched


def test_where_nothing_gets_better_the_start_is_returned() -> None:
    start, _ = train_ranker(*examples(0), SMALL, 1, NAMES)
    data = examples(0)
    ruinous = SMALL.model_copy(update={"lr": 10.0})
    ranker, logs = train_ranker(*data, ruinous, 1, NAMES, start=start)
    assert best_epoch(logs) == 0
    np.testing.assert_array_equal(ranker.score(data[0]), start.score(data[0]))


def test_one_class_and_other_features_are_refused() -> None:
    x, y, request, at = examples(0, 100)
    with pytest.raises(NoDataError, match="hold 0 positives"):
        train_ranker(x, np.zeros_like(y), request, at, SMALL, 1, NAMES)
    start, _ = train_ranker(x, y, request, at, SMALL, 1, NAMES)
    with pytest.raises(BundleError, match="'c'"):
        train_ranker(x, y, request, at, SMALL, 1, ("a", "b", "c"), start=start)


def test_a_last_batch_of_one_does_not_break_batch_norm() -> None:
    data = examples(0, 100)
    _, logs = train_ranker(*data, SMALL.model_copy(update={"batch": 89, "epochs": 1}), 1, NAMES)
    assert logs[0].examples == 89  # 90 older ones, 10 held out
