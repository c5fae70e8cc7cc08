"""A batch of two requests on the circle of tests.topn.test_recommend, every list and figure worked by hand."""

from __future__ import annotations

from math import log2
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys.config import Behaviour, EvaluateSettings, Settings, TopNSettings
from recsys.features.item import ItemSnapshot
from recsys.monitor.measure import NEIGHBOURS, RECOMMENDER, Batch, Pool, measure
from recsys.monitor.timesplit import finish
from recsys.topn.index import build_index
from tests.topn.test_recommend import AT, ByPopularity, Circle, histories, snapshot

SETTINGS = Settings(
    behaviours={name: Behaviour(weight=1) for name in ("view", "purchase")},
    topn=TopNSettings(n=3, candidates=4, popular=2),
    evaluate=EvaluateSettings(heavy=2, resamples=100),
)
FIRST_OF_TWO = 1 / (1 + 1 / log2(3))  # one of two wanted items, in the first place

# u viewed i0 and then chose i1; v has no history and chose i6 and an item that is newer than the snapshot.
BATCH = Batch(
    user=np.asarray([5, 9]),
    at=np.asarray([AT, AT - 5]),
    history=histories([("view", "i0")], []),
    truth=pa.array([["i1"], ["i6", "new"]], pa.list_(pa.string())),
    others={"nightly": pa.array([["i0", "i1"], None], pa.list_(pa.string()))},
)
POOL = Pool(
    moments=np.asarray([AT - 10, AT]),
    ids=("new", "i6", "i0"),
    lists=np.asarray([[1, 2, -1], [0, 1, 2]], dtype=np.int64),
)
Rows = dict[tuple[str, str, str], dict[str, Any]]


def measured(catalogue: ItemSnapshot, batch: Batch = BATCH) -> Rows:
    index = build_index(Circle(), catalogue, SETTINGS.topn)
    table = measure(batch, {"popular": POOL}, Circle(), ByPopularity(), index, SETTINGS, ahead=False)
    return {(row["model"], row["slice"], row["metric"]): row for row in finish([table], "popular").to_pylist()}


@pytest.mark.parametrize(
    ("model", "light", "cold"),
    [
        (RECOMMENDER, 1 / log2(5), FIRST_OF_TWO),  # u: i6, i5, i2, i1 by the day's count; v: i6 first
        (NEIGHBOURS, 1, FIRST_OF_TWO),  # u: i1 is nearest to i0
        ("popular", 0, FIRST_OF_TWO),  # u at AT: new, i6; v before AT: i6, i0
        ("nightly", 1, 0),  # u: i0 is seen, so i1 comes first; v has no list
    ],
)
def test_each_models_lists_by_hand(model: str, light: float, cold: float) -> None:
    rows = measured(snapshot())
    assert rows[model, "light users", "ndcg@10"]["value"] == pytest.approx(light)
    assert rows[model, "cold users", "ndcg@10"]["value"] == pytest.approx(cold)
    assert rows[model, "all", "ndcg@10"]["value"] == pytest.approx((light + cold) / 2)
    assert rows[model, "all", "recall@10"]["value"] == pytest.approx(((light > 0) + (cold > 0) / 2) / 2)
    assert (rows[model, "all", "ndcg@10"]["requests"], rows[model, "all", "ndcg@10"]["users"]) == (2, 2)
    assert rows[model, "heavy users", "ndcg@10"]["requests"] == 0


def test_what_is_sold_out_is_offered_by_no_model_but_what_is_new_is() -> None:
    sold_out = measured(snapshot(tuple(item != 6 for item in range(8))))
    for model in (RECOMMENDER, NEIGHBOURS, "popular"):
        assert sold_out[model, "cold users", "recall@20"]["value"] == 0, model
    later = Batch(user=BATCH.user, at=np.asarray([AT, AT]), history=BATCH.history, truth=BATCH.truth, others={})
    assert measured(snapshot(), later)["popular", "cold users", "recall@20"]["value"] == 1  # new, then i6


def test_coverage_counts_what_could_be_recommended() -> None:
    rows = measured(snapshot((True,) * 4 + (False,) * 4))
    # Four items are in stock. The night's list shows i1; the shelf shows i0, and a new one that is not counted.
    assert rows["nightly", "all", "coverage@10"]["value"] == 1 / 4
    assert rows["popular", "all", "coverage@10"]["value"] == 1 / 4
