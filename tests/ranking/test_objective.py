from collections import Counter
from math import log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recsys.ranking.objective import batches, objective, pairs

# Cross-entropies of a logit 0 are ln 2; of ln 3, whose sigmoid is 3/4, -ln 3/4 for label 1 and -ln 1/4 for label 0.
LOGITS = torch.tensor([[0.0, log(3)], [0.0, log(3)], [log(3), 9.0]])
LABELS = torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 1.0]])
NONE_OF_THE_LAST = torch.tensor([[1.0, 4.0], [1.0, 4.0], [1.0, 0.0]])
ONE = torch.tensor([7, 7, 7])
FIRST, SECOND = (log(2) + log(2) + log(4)) / 3, (log(4 / 3) + log(4)) / 2  # the heads' means


def test_heads_are_weighted_by_what_their_examples_count() -> None:
    # 3 examples that count 1, 2 that count 4
    expected = (3 * FIRST + 8 * SECOND) / 11
    assert objective(LOGITS, LABELS, NONE_OF_THE_LAST, ONE).item() == pytest.approx(expected)
    assert objective(LOGITS[:, :1], LABELS[:, :1], torch.ones(3, 1), ONE).item() == pytest.approx(FIRST)


def test_learned_weights_are_those_of_kendall_and_settle_at_twice_the_loss() -> None:
    variance = torch.tensor([0.0, log(2)], requires_grad=True)
    loss = objective(LOGITS, LABELS, NONE_OF_THE_LAST, ONE, log_variance=variance)
    assert loss.item() == pytest.approx(FIRST + SECOND / 2 + log(2) / 2)
    best = torch.tensor([log(2 * FIRST), log(2 * SECOND)], requires_grad=True)
    objective(LOGITS, LABELS, NONE_OF_THE_LAST, ONE, log_variance=best).backward()  # type: ignore[no-untyped-call]
    assert best.grad is not None
    torch.testing.assert_close(best.grad, torch.zeros(2), atol=1e-6, rtol=0)


def test_a_head_without_examples_in_a_batch_is_left_out() -> None:
    variance = torch.tensor([0.0, 5.0], requires_grad=True)
    alone = NONE_OF_THE_LAST * torch.tensor([1.0, 0.0])
    loss = objective(LOGITS, LABELS, alone, ONE, log_variance=variance)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(FIRST)
    assert variance.grad is not None
    assert variance.grad[1] == 0


def test_a_share_of_the_loss_is_for_the_order_within_requests() -> None:
    # The first head has the pairs (0, 1) and (0, 2), log odds apart by 0 and -ln 3; the second (0, 1), apart by 0.
    order, second = log(2) + log(1 + 3), log(2)
    expected = (3 * FIRST + 8 * SECOND) / 11 / 4 + 3 / 4 * (1 * order + 4 * second) / (1 * 2 + 4 * 1)
    assert objective(LOGITS, LABELS, NONE_OF_THE_LAST, ONE, 0.75).item() == pytest.approx(expected)
    alone = objective(LOGITS[:, :1], LABELS[:, :1], torch.ones(3, 1), ONE, 0.75)
    assert alone.item() == pytest.approx(FIRST / 4 + 3 / 4 * order / 2)
    learned = objective(LOGITS, LABELS, NONE_OF_THE_LAST, ONE, 0.75, torch.zeros(2))
    assert learned.item() == pytest.approx((FIRST + SECOND) / 4 + 3 / 4 * (order / 2 + second))


def test_without_a_pair_only_the_cross_entropy_counts() -> None:
    apart = torch.tensor([1, 2, 3])
    loss = objective(LOGITS[:, :1], LABELS[:, :1], torch.ones(3, 1), apart, 0.75)
    assert loss.item() == pytest.approx(FIRST / 4)


RUNS = st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.booleans()), min_size=1, max_size=15)


@given(RUNS)
def test_pairs_are_all_of_one_request_and_none_of_two(rows: list[tuple[int, bool, bool]]) -> None:
    rows = sorted(rows, key=lambda row: -row[0])  # together, in no ascending order
    request, one, other = (torch.tensor(column) for column in zip(*rows, strict=True))
    found = zip(*(places.tolist() for places in pairs(request, one, other)), strict=True)
    expected = [(a, b) for a, x in enumerate(rows) for b, y in enumerate(rows) if x[1] and y[2] and x[0] == y[0]]
    assert sorted(found) == expected


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.integers(1, 12), st.booleans())
def test_every_row_is_in_one_batch_and_requests_are_whole(numbers: list[int], size: int, whole: bool) -> None:
    request = torch.tensor([*numbers, 99])
    rows = torch.arange(len(numbers))
    found = [batch.tolist() for batch in batches(rows, request, size, whole=whole)]
    assert sorted(row for batch in found for row in batch) == rows.tolist()
    if not whole:
        assert all(len(batch) == size for batch in found[:-1])
        return
    assert all(batch for batch in found)
    assert max(map(len, found)) < size + max(Counter(numbers).values())
    told = [request[batch].tolist() for batch in found]
    runs = [value for batch in told for place, value in enumerate(batch) if not place or value != batch[place - 1]]
    assert len(runs) == len(set(numbers))
