import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.ranking.heads import Task, alone, heads_of, tasks_of

CLICK, PURCHASE = [True, False], [False, True]
BOTH, NEITHER = [True, True], [False, False]


def test_a_head_learns_from_the_requests_in_which_its_behaviour_occurred() -> None:
    outcomes = np.asarray([CLICK, NEITHER, PURCHASE, NEITHER, BOTH, CLICK, NEITHER, BOTH])
    request = np.asarray([5, 5, 2, 2, 9, 9, 9, 7])
    heads = heads_of(outcomes, request, (1.0, 4.0))
    # A drawn click, a drawn purchase, a list with both, and a request of one item, which tells nothing.
    assert heads.weight.tolist() == [[1, 0], [1, 0], [0, 4], [0, 4], [1, 4], [1, 4], [1, 4], [0, 0]]
    assert heads.labels.tolist() == outcomes.astype(float).tolist()
    labels, values, weight = heads.spread(np.arange(8, dtype=np.float32))
    assert values.tolist() == [0, 1, 2, 3, 4, 4, 5, 5, 6, 6]
    assert labels.tolist() == [1, 0, 1, 0, 1, 1, 1, 0, 0, 0]
    assert weight.tolist() == [1, 1, 4, 4, 1, 4, 1, 4, 1, 4]
    # 3 clicks count 1 each, 2 purchases 4 each; the click and the purchase of the last row belong to no head.
    assert tasks_of(heads, {"click": 1.0, "purchase": 4.0}) == (
        Task(behaviour="click", weight=1, share=3 / 11),
        Task(behaviour="purchase", weight=4, share=8 / 11),
    )
    assert heads.of(np.asarray([2, 3])).weight.tolist() == [[0, 4], [0, 4]]


def test_one_head_takes_all_behaviours_for_one() -> None:
    labels, values, weight = alone(np.asarray([1, 0, 1], dtype=np.float32)).spread(np.ones(3, dtype=np.float32))
    assert (labels.tolist(), values.tolist(), weight.tolist()) == ([1, 0, 1], [1, 1, 1], [1, 1, 1])


ROWS = st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans()), min_size=1, max_size=20)


@given(ROWS)
def test_each_head_has_both_classes_in_every_request_that_it_learns_from(rows: list[tuple[int, bool, bool]]) -> None:
    request, outcomes = np.asarray([row[0] for row in rows]), np.asarray([row[1:] for row in rows])
    heads = heads_of(outcomes, request, (1.0, 2.0))
    for head in (0, 1):
        for number in set(request.tolist()):
            own = request == number
            both = len(set(outcomes[own, head].tolist())) == 2
            assert (heads.weight[own, head] == (head + 1) * both).all()
