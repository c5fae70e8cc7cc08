import torch

from recsys.ranking.model import Cross, Ranker


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
