"""Training with a share of the loss for the order within requests."""

import numpy as np
import pytest
import torch

from recsys.config import RankerSettings
from recsys.errors import BundleError
from recsys.ranking.train import Examples, train_ranker
from recsys.ranking.validation import area_under_curve
from tests.ranking import test_tasks as planted

LINEAR = RankerSettings(hidden=(), cross=0, batch=256, lr=0.05, epochs=6, patience=6, dropout=0.0)
ITEMS = 10


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def lists(count: int = 400) -> Examples:
    """Shown lists of one feature: between lists what is larger is rather a label, within each the smallest are.

    Of every other list, whose values lie in [0, 1), one item is a label; of the others, in [1, 2), nine are.
    """
    full = np.arange(count) % 2
    inside = np.tile(np.arange(ITEMS) / ITEMS, (count, 1))
    x = (full[:, None] + inside).astype(np.float32).reshape(-1, 1)
    y = (inside < np.where(full, 0.85, 0.05)[:, None]).astype(np.float32).ravel()
    request = np.repeat(np.arange(count), ITEMS)
    zero = np.zeros(len(y), dtype=np.float32)
    return Examples(x=x, y=y, request=request, at=request * 1_000_000, user=request, offset=zero)


@pytest.mark.parametrize(("pairwise", "between", "within"), [(0.0, True, 0.0), (0.9, False, 1.0)])
def test_what_orders_requests_does_not_order_what_is_in_them(pairwise: float, between: bool, within: float) -> None:
    data = lists()
    ranker, _ = train_ranker(data, LINEAR.model_copy(update={"pairwise": pairwise}), 1, ("a",))
    score = ranker.logits(data.x)
    for request in (0, 1):
        own = data.request == request
        assert area_under_curve(data.y[own], score[own]) == within
    assert (area_under_curve(data.y, score) > 0.5) == between
    assert ranker.shape.pairwise == (pairwise or None)


def test_chances_stay_those_of_the_items_whatever_is_drawn() -> None:
    """Pairs are compared less ln q, as the cross-entropy is: else what is drawn most would be held back."""
    conf = planted.settings({"click": 1, "purchase": 1}, pairwise=0.5)
    ranker, _ = train_ranker(planted.examples(0), conf, 1, planted.NAMES)
    click, purchase = planted.chances(ranker.heads(planted.ITEMS)).T
    assert click == pytest.approx(planted.CLICKED, rel=0.15)
    assert purchase == pytest.approx(planted.BOUGHT, rel=0.15)


def test_another_share_than_the_starts_is_refused() -> None:
    start, _ = train_ranker(lists(40), LINEAR.model_copy(update={"epochs": 1}), 1, ("a",))
    with pytest.raises(BundleError, match=r"other ranker\.pairwise than"):
        train_ranker(lists(40), LINEAR.model_copy(update={"pairwise": 0.5}), 1, ("a",), start=start)
