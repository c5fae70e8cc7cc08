from math import log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recsys.ranking.model import Cross, Ranker, mixture


def test_a_cross_layer_multiplies_the_first_input() -> None:
    layer = Cross(2)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        layer.linear.bias.copy_(torch.tensor([1.0, 0.0]))
    # x0 * (W x + b) + x = [2 * (3 + 1) + 3, 5 * (2 * 4) + 4]
    out = layer(torch.tensor([[2.0, 5.0]]), torch.tensor([[3.0, 4.0]]))
    assert out.tolist() == [[11.0, 44.0]]


def test_shapes_with_and_without_each_part() -> None:
    x = torch.randn(7, 5)
    for hidden, cross in [((8, 4), 2), ((), 1), ((8,), 0), ((), 0)]:
        assert Ranker(5, hidden, cross, 0.1)(x).shape == (7,)


def test_scores_do_not_depend_on_the_batch_when_evaluated() -> None:
    torch.manual_seed(0)
    model = Ranker(5, (8,), 1, 0.5)
    model(torch.randn(64, 5))
    model.eval()
    x = torch.randn(6, 5)
    torch.testing.assert_close(model(x), torch.cat([model(x[:1]), model(x[1:])]))


def test_a_mixture_adds_up_the_odds_of_its_heads() -> None:
    logits = torch.tensor([[log(0.5), log(3.0)], [0.0, 0.0]])
    # 1/4 of odds 1/2 and 3/4 of odds 3 are 19/8
    assert mixture(logits, torch.tensor([0.25, 0.75])).tolist() == pytest.approx([log(19 / 8), 0.0], abs=1e-6)
    assert mixture(logits, torch.tensor([1.0, 0.0])).tolist() == pytest.approx([log(0.5), 0.0], abs=1e-6)
    torch.manual_seed(0)
    model = Ranker(5, (8,), 1, 0.0, (0.25, 0.75)).eval()
    x = torch.randn(6, 5)
    torch.testing.assert_close(model(x), mixture(model.heads(x), torch.tensor([0.25, 0.75])))
    assert "shares" not in model.state_dict()


@given(st.lists(st.tuples(st.floats(-30, 30), st.floats(0.01, 1)), min_size=1, max_size=5))
def test_a_mixture_lies_between_its_heads(heads: list[tuple[float, float]]) -> None:
    logits, weights = (torch.tensor(values, dtype=torch.float64) for values in zip(*heads, strict=True))
    mixed = torch.sigmoid(mixture(logits[None], weights / weights.sum()))
    chances = torch.sigmoid(logits)
    assert chances.min() - 1e-12 <= mixed.item() <= chances.max() + 1e-12
