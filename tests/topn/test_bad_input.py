"""Histories that no profile has: lists stay right."""

import numpy as np

from recsys.config import FeatureSettings, TopNSettings
from recsys.topn.index import build_index
from recsys.topn.recommend import recommend
from tests.topn.test_recommend import AT, BEHAVIOURS, ITEMS, Circle, histories, listed, snapshot


def test_a_history_of_a_hundred_thousand_beside_empty_and_unknown_ones() -> None:
    long = [("view", ITEMS[n % 3]) for n in range(100_000)]
    users = histories(long, [], [("view", "unknown")], [("view", "")], [("view", "i0")])
    for settings in (TopNSettings(n=3, popular=2), TopNSettings(n=3, popular=2, exact_items=0)):
        index = build_index(Circle(), snapshot(), settings)
        assert (index.lists is None) == (settings.exact_items > 0)
        found = recommend(users, AT, Circle(), None, snapshot(), BEHAVIOURS, FeatureSettings(), settings, index)
        rows = listed(found)
        assert rows[0] == [3, 4, 5]  # the newest is i0: the nearest that were not seen
        assert rows[4] == [1, 2, 3]
        for cold in rows[1:4]:
            assert len(cold) == 3
        assert np.isfinite(found.score).all()
