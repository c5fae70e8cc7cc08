from math import log

import pytest
import torch

from recsys.ranking.objective import objective

# Cross-entropies of a logit 0 are ln 2; of ln 3, whose sigmoid is 3/4, -ln 3/4 for label 1 and -ln 1/4 for label 0.
LOGITS = torch.tensor([[0.0, log(3)], [0.0, log(3)], [log(3), 9.0]])
LABELS = torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 1.0]])
NONE_OF_THE_LAST = torch.tensor([[1.0, 4.0], [1.0, 4.0], [1.0, 0.0]])
FIRST, SECOND = (log(2) + log(2) + log(4)) / 3, (log(4 / 3) + log(4)) / 2  # the heads' means


def test_heads_are_weighted_by_what_their_examples_count() -> None:
    # 3 examples that count 1, 2 that count 4
    expected = (3 * FIRST + 8 * SECOND) / 11
    assert objective(LOGITS, LABELS, NONE_OF_THE_LAST).item() == pytest.approx(expected)
    assert objective(LOGITS[:, :1], LABELS[:, :1], torch.ones(3, 1)).item() == pytest.approx(FIRST)


def test_learned_weights_are_those_of_kendall_and_settle_at_twice_the_loss() -> None:
    variance = torch.tensor([0.0, log(2)], requires_grad=True)
    loss = objective(LOGITS, LABELS, NONE_OF_THE_LAST, variance)
    assert loss.item() == pytest.approx(FIRST + SECOND / 2 + log(2) / 2)
    best = torch.tensor([log(2 * FIRST), log(2 * SECOND)], requires_grad=True)
    objective(LOGITS, LABELS, NONE_OF_THE_LAST, best).backward()  # type: ignore[no-untyped-call]
    assert best.grad is not None
    torch.testing.assert_close(best.grad, torch.zeros(2), atol=1e-6, rtol=0)


def test_a_head_without_examples_in_a_batch_is_left_out() -> None:
    variance = torch.tensor([0.0, 5.0], requires_grad=True)
    alone = NONE_OF_THE_LAST * torch.tensor([1.0, 0.0])
    loss = objective(LOGITS, LABELS, alone, variance)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(FIRST)
    assert variance.grad is not None
    assert variance.grad[1] == 0
