"""Bot rules at their borders, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.config import FeatureSettings
from recsys.features.bots import is_bot, precision_recall
from recsys.features.history import Points, at_end
from tests.features import oracle
from tests.features.logs import AT
from tests.features.oracle import Event, S

RATE = FeatureSettings(bot_events_per_10m=3, bot_min_events=100)
GAPS = FeatureSettings(bot_events_per_10m=100, bot_min_events=4, bot_median_gap_s=2.0)


def _found(seconds: list[float], s: FeatureSettings) -> bool:
    events = [Event(f"{n:03}", "u", AT + round(x * S), "view", "a") for n, x in enumerate(seconds)]
    before = [Event("000", "t", AT, "view", "a")] * 5  # a neighbour whose rows touch the user's
    h = oracle.histories([before, events])
    return bool(is_bot(h, at_end(h, AT), s)[1])


@pytest.mark.parametrize(
    ("seconds", "bot"),
    [([0, 300, 599.999999], True), ([0, 300, 600], False), ([0, 1], False), ([], False), ([0, 5000, 5001, 5002], True)],
)
def test_rate(seconds: list[float], bot: bool) -> None:
    """Three behaviours within a half-open 10 minutes."""
    assert _found(seconds, RATE) is bot


@pytest.mark.parametrize(
    ("seconds", "bot"),
    [
        ([0, 1, 2, 100], True),  # gaps 1, 1, 98: median 1
        ([0, 2, 4, 100], False),  # gaps 2, 2, 96: median 2 is not below 2
        ([0, 1, 2, 100, 200], False),  # gaps 1, 1, 98, 100: upper median 98
        ([0, 1, 2], False),  # fewer than 4 behaviours
    ],
)
def test_gaps(seconds: list[float], bot: bool) -> None:
    assert _found(seconds, GAPS) is bot


def test_only_the_range_counts() -> None:
    h = oracle.histories([[Event(f"{n}", "u", AT + n, "view", "a") for n in range(4)]])
    points = Points(start=np.asarray([0, 2]), end=np.asarray([3, 4]), at=np.asarray([AT + 3, AT + 3]))
    assert is_bot(h, points, RATE).tolist() == [True, False]


def test_precision_and_recall() -> None:
    found, truth = np.asarray([True, True, False, False]), np.asarray([True, False, True, True])
    assert precision_recall(found, truth) == (1 / 2, 1 / 3)
    nothing = np.zeros(2, dtype=np.bool_)
    assert np.isnan(precision_recall(nothing, nothing)).all()
