import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recsys.encoder.loss import Negatives, Sampler, SharedSoftmax, clashes, sampler, smoothed


def plain(query: Tensor, positive: Tensor, negative: Tensor, weight: Tensor, clash: Tensor) -> Tensor:
    """Position by position: minus the log share of the target."""
    pairs = {(m, k) for m, k in clash.tolist()}
    losses = []
    for m in range(len(query)):
        target = query[m] @ positive[m]
        others = [query[m] @ negative[k] + weight[k] for k in range(len(negative)) if (m, k) not in pairs]
        losses.append(torch.logsumexp(torch.stack([target, *others]), 0) - target)
    return torch.stack(losses).mean()


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 1000), st.sampled_from([1.0, 30.0]))
def test_loss_and_gradients_are_those_of_autograd(m: int, k: int, seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    tensors = [torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (m, m, k)]
    weight = torch.randn(k, generator=generator, dtype=torch.float64)
    flat = torch.randperm(m * k, generator=generator)[: m * k // 2]
    clash = torch.stack([flat // k, flat % k], dim=1)
    found, wanted = ([(t * scale**0.5).requires_grad_() for t in tensors] for _ in range(2))
    losses = (SharedSoftmax.apply(*found, weight, clash), plain(wanted[0], wanted[1], wanted[2], weight, clash))
    for loss in losses:
        (3 * loss).backward()  # a factor, so that the incoming gradient is used
    torch.testing.assert_close(losses[0], losses[1])
    for one, two in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.grad, two.grad)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_smoothing_over_all_items_is_that_of_pytorch(share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(5, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    items = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    target = torch.tensor([0, 6, 2, 2, 4])
    clash = torch.stack([torch.arange(5), target], dim=1)
    plain_loss = SharedSoftmax.apply(query, items[target], items, torch.zeros(7, dtype=torch.float64), clash)
    ours = plain_loss + share * smoothed(query, items[target], items)
    wanted = torch.nn.functional.cross_entropy(query @ items.T, target, label_smoothing=share)
    torch.testing.assert_close(ours, wanted)
    torch.testing.assert_close(*(torch.autograd.grad(loss, query)[0] for loss in (ours, wanted)))


def test_a_position_whose_only_negative_is_its_target_costs_nothing() -> None:
    query = torch.ones(1, 2, requires_grad=True)
    loss = SharedSoftmax.apply(query, torch.ones(1, 2), torch.ones(1, 2), torch.zeros(1), torch.tensor([[0, 0]]))
    loss.backward()
    assert float(loss.detach()) == 0
    assert query.grad is not None
    assert query.grad.tolist() == [[0, 0]]


def test_large_scores_do_not_overflow() -> None:
    query = torch.full((1, 1), 1000.0)
    one = torch.ones(1, 1)
    none = torch.zeros(0, 2, dtype=torch.int64)
    assert float(SharedSoftmax.apply(query, one, one, torch.zeros(1), none)) == pytest.approx(np.log(2), abs=1e-4)
    assert float(SharedSoftmax.apply(query, -one, one, torch.zeros(1), none)) == pytest.approx(2000)


@pytest.mark.parametrize(("power", "shares"), [(0.0, [1, 1, 1, 1]), (1.0, [1, 1, 4, 10]), (0.5, [1, 1, 2, 10**0.5])])
def test_items_are_drawn_by_a_power_of_their_occurrences(power: float, shares: list[float]) -> None:
    drawer = sampler(np.asarray([0, 1, 4, 10]), power, 3)
    times = np.zeros(4)
    random = np.random.default_rng(0)
    chance = np.asarray(shares) / sum(shares)
    for _ in range(4000):
        drawn = drawer.draw(random)
        rows = drawn.items - 1
        assert (np.diff(drawn.items) > 0).all()
        each = np.exp(drawn.weight) * 3 * chance[rows]  # weight = log(times / (size x chance))
        np.testing.assert_allclose(each, np.round(each), atol=1e-5)
        assert each.sum() == pytest.approx(3)
        times[rows] += each
    np.testing.assert_allclose(times / times.sum(), chance, atol=0.017)


def test_the_weighted_sum_is_unbiased() -> None:
    value = np.asarray([5.0, -1.0, 0.5, 2.0, 7.0])
    drawer, random = sampler(np.asarray([9, 1, 3, 1, 20]), 0.75, 3), np.random.default_rng(1)
    sums = [float(np.exp(d.weight) @ value[d.items - 1]) for d in (drawer.draw(random) for _ in range(10_000))]
    assert np.mean(sums) == pytest.approx(value.sum(), abs=4 * float(np.std(sums)) / 10_000**0.5)


@pytest.mark.parametrize("size", [4, 5, 100])
def test_as_many_as_there_are_gives_every_item_once(size: int) -> None:
    drawn = sampler(np.asarray([0, 5, 5, 9]), 1.0, size).draw(np.random.default_rng(0))
    assert isinstance(drawn, Negatives)
    assert drawn.items.tolist() == [1, 2, 3, 4]
    assert drawn.weight.tolist() == [0] * 4


def test_the_end_of_the_unit_interval_is_the_last_item() -> None:
    # Rounding may leave the last cumulative share below 1; what lies beyond it is the last item.
    drawn = Sampler(np.asarray([1e-9, 2e-9]), 1).draw(np.random.default_rng(0))
    assert drawn.items.tolist() == [2]


@given(st.lists(st.integers(1, 9), max_size=8), st.sets(st.integers(1, 9), min_size=1))
def test_clashes_are_all_pairs_of_equals(targets: list[int], negatives: set[int]) -> None:
    ordered = sorted(negatives)
    found = clashes(np.asarray(targets, dtype=np.int64), np.asarray(ordered, dtype=np.int64))
    wanted = [[m, k] for m, target in enumerate(targets) for k, item in enumerate(ordered) if target == item]
    assert found.tolist() == wanted
