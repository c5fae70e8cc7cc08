import numpy as np
import pyarrow as pa
import pytest

from recsys.config import FeatureSettings
from recsys.features.definitions import ITEM_FEATURES, feature_names
from recsys.features.history import I64, Histories
from recsys.ranking.assemble import Encoder, Requests, features, similarity

BEHAVIOURS = ("view", "click")
S = 1_000_000


@pytest.fixture
def history() -> Histories:
    """User 0: a at 1 s, b at 2 s, c at 2 s, d at 3 s. User 1: nothing. User 2: a at 5 s."""
    return Histories(
        offsets=np.asarray([0, 4, 4, 5]),
        time=np.asarray([1, 2, 2, 3, 5]) * S,
        behaviour=np.zeros(5, dtype=np.int8),
        item=np.asarray([0, 1, 2, 3, 0], dtype=np.int32),
        price=np.full(5, -1),
        quantity=np.ones(5, dtype=np.int64),
        value=np.full(5, np.nan),
        items=("a", "b", "c", "d"),
    )


def requests(user: list[int], at: list[int], pairs: list[tuple[int, str, bool]]) -> Requests:
    request, item, positive = zip(*pairs, strict=True)
    return Requests(
        user=np.asarray(user, dtype=np.int64),
        at=np.asarray(at, dtype=np.int64) * S,
        ahead=np.zeros(len(at), dtype=np.bool_),
        request=np.asarray(request, dtype=np.int64),
        item=pa.array(item),
        item_rows=np.zeros((len(pairs), len(ITEM_FEATURES)), dtype=np.float32),
        positive=np.asarray(positive),
        categories=np.full(4, -1, dtype=np.int32),
        pair_category=np.full(len(pairs), -1, dtype=np.int32),
    )


def ints(*values: int) -> I64:
    return np.asarray(values, dtype=np.int64)


def test_similarity_is_unknown_without_one_of_the_vectors() -> None:
    users = np.asarray([[1.0, 0.0], [0.0, 0.0]], dtype=np.float32)
    items = np.asarray([[0.6, 0.8]], dtype=np.float32)
    got = similarity(users, items, ints(0, 0, 1), np.asarray([1, 0, 1], dtype=np.int32))
    assert got.tolist() == pytest.approx([0.6, np.nan, np.nan], nan_ok=True)


def test_items_of_the_history_leave_and_take_their_request_along(history: Histories, newest_item: Encoder) -> None:
    asked = requests(
        [0, 0, 2],
        [2, 3, 5],
        [
            (0, "b", True),  # b comes at 2 s: not yet seen
            (0, "a", False),  # seen at 1 s
            (0, "d", False),
            (1, "b", True),  # seen: the request keeps no positive
            (1, "d", False),
            (2, "a", True),  # tie with its own moment: not seen
            (2, "new", False),
        ],
    )
    matrix, kept, recent = features(
        history, history.time, asked, newest_item, BEHAVIOURS, FeatureSettings(), seen=False
    )
    assert kept.tolist() == [0, 2, 5, 6]
    assert recent is None
    assert matrix.shape == (4, len(feature_names(FeatureSettings())))
    column = {name: matrix[:, place].tolist() for place, name in enumerate(feature_names(FeatureSettings()))}
    assert column["engaged_count"] == [1, 1, 0, 0]
    assert column["recency_s"] == pytest.approx([1, 1, np.nan, np.nan], nan_ok=True)
    assert column["pair_similarity"] == pytest.approx([0, 0, np.nan, np.nan], nan_ok=True)
    lead = column["pair_similarity_lead"]  # the user is at `a`, so the level is 1
    assert lead == pytest.approx([-1, -1, np.nan, np.nan], nan_ok=True)
    with_seen, every, _ = features(history, history.time, asked, newest_item, BEHAVIOURS, FeatureSettings(), seen=True)
    assert every.tolist() == list(range(7))
    place = feature_names(FeatureSettings()).index
    assert with_seen[:, place("pair_engaged_count")].tolist() == [0, 1, 0, 1, 0, 0, 0]
    assert with_seen[1, place("pair_similarity")] == 1.0
