import numpy as np
import pyarrow as pa
import pytest

from recsys.candidates.ragged import Ragged
from recsys.monitor.timesplit import RESULT, Requests, finish, partial

ITEMS = tuple("abcdefgh")
# user 1 asks twice; request 2's truth holds index 9, an item that the snapshot lacks
REQUESTS = Requests(
    user=np.asarray([1, 1, 2]),
    truth=Ragged(offsets=np.asarray([0, 1, 2, 4]), values=np.asarray([0, 1, 2, 9])),
    slices={"cold users": np.asarray([False, False, True])},
    popularity=np.asarray([7, 7, 1, 1, 0, 0, 0, 0]),
    items=ITEMS,
    in_stock=5,
)
LISTS = {
    "recommender": np.asarray([[0, 1], [2, 1], [2, -1]]),
    "popular": np.asarray([[1, 0], [2, 3], [0, 1]]),
}


def rows(table: pa.Table) -> dict[tuple[str, str, str], dict[str, float]]:
    return {(r["model"], r["slice"], r["metric"]): r for r in table.to_pylist()}


FOUND = rows(finish([partial(LISTS, REQUESTS, seed=1, resamples=200)], versus="popular"))


def test_means_by_hand() -> None:
    own = FOUND["recommender", "all", "recall@10"]
    assert own["value"] == pytest.approx((1 + 1 + 1 / 2) / 3)
    assert FOUND["popular", "all", "recall@10"]["value"] == pytest.approx(1 / 3)
    assert own["difference"] == pytest.approx(1.5 / 3)
    assert own["ratio"] == pytest.approx(2.5)
    second = 1 / np.log2(3)
    assert FOUND["recommender", "all", "ndcg@10"]["value"] == pytest.approx((1 + second + 1 / (1 + second)) / 3)


def test_intervals_hold_their_value_and_the_baseline_has_no_comparison() -> None:
    own = FOUND["recommender", "all", "recall@10"]
    assert own["low"] <= own["value"] <= own["high"]
    assert own["difference_low"] <= own["difference"] <= own["difference_high"]
    assert FOUND["popular", "all", "recall@10"]["difference"] is None


def test_slices_count_requests_and_users() -> None:
    assert [FOUND["popular", "all", "ndcg@10"][c] for c in ("requests", "users")] == [3, 2]
    cold = FOUND["recommender", "cold users", "recall@20"]
    assert (cold["value"], cold["requests"], cold["users"]) == (0.5, 1, 1)


def test_coverage_is_the_share_of_what_could_be_recommended() -> None:
    assert FOUND["recommender", "all", "coverage@10"]["value"] == 3 / 5
    assert FOUND["popular", "all", "coverage@10"]["value"] == 4 / 5


def test_any_split_of_the_requests_gives_the_same_table() -> None:
    first = Requests(
        user=REQUESTS.user[:2],
        truth=REQUESTS.truth.slice(0, 2),
        slices={"cold users": np.zeros(2, np.bool_)},
        popularity=REQUESTS.popularity,
        items=ITEMS,
        in_stock=5,
    )
    second = Requests(
        user=REQUESTS.user[2:],
        truth=REQUESTS.truth.slice(2, 3),
        slices={"cold users": np.ones(1, np.bool_)},
        popularity=REQUESTS.popularity,
        items=ITEMS,
        in_stock=5,
    )
    parts = [
        partial({name: lists[:2] for name, lists in LISTS.items()}, first, 1, 200),
        partial({name: lists[2:] for name, lists in LISTS.items()}, second, 1, 200),
    ]
    found = rows(finish(parts, versus="popular"))
    assert found.keys() == FOUND.keys()
    for key, row in found.items():
        for name in RESULT.names[3:]:
            assert row[name] == pytest.approx(FOUND[key][name], nan_ok=True), (key, name)


def test_nothing_measured_gives_no_rows() -> None:
    assert finish([], versus="popular").num_rows == 0
