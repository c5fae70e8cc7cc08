from __future__ import annotations

import json
from dataclasses import asdict

from recsys.registry.bundle import Bundle
from recsys.serving.answer import lists
from recsys.serving.recommender import Recommender, nobody
from tests.registry.conftest import SNAPSHOT_AT
from tests.serving.conftest import CLICK


def test_json_holds_every_field(recommender: Recommender) -> None:
    answer = recommender.recommend([CLICK], at=SNAPSHOT_AT)
    assert json.loads(answer.to_json()) == asdict(answer)
    assert len(answer.items) == len(answer.scores) == len(answer.sources) == len(answer.reasons) == 3


def test_lists_name_the_items_of_the_snapshot(bundle: Bundle) -> None:
    found = bundle.recommend(nobody(), SNAPSHOT_AT, 5)
    items, scores, sources, reasons = lists(bundle, found)
    assert items == [bundle.snapshot.items[row] for row in found.items.values]
    assert "i07" not in items  # out of stock
    assert all(0 < score < 1 for score in scores)
    assert set(sources) == {"popular"}
    assert len(reasons) == len(items)
