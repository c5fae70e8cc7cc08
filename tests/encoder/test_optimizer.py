import torch

from recsys.encoder.optimizer import RowAdam


def test_it_steps_like_sparse_adam() -> None:
    generator = torch.Generator().manual_seed(0)
    beginning = torch.randn(7, 3, generator=generator)
    table, reference = beginning.clone(), torch.nn.Parameter(beginning.clone())
    mine = RowAdam(table, lr=0.1, betas=(0.8, 0.95))
    other = torch.optim.SparseAdam([reference], lr=0.1, betas=(0.8, 0.95))
    for rows in ([0, 2, 5], [5], [1, 2], [0, 1, 2, 5], [2]):
        index = torch.tensor(rows)
        grad = torch.randn(len(rows), 3, generator=generator)
        mine.step(index, grad)
        reference.grad = torch.sparse_coo_tensor(index[None], grad, (7, 3), check_invariants=True)
        other.step()  # type: ignore[no-untyped-call]
        torch.testing.assert_close(table, reference.detach())
    assert torch.equal(table[[3, 4, 6]], beginning[[3, 4, 6]])  # never touched, never moved
    assert not torch.equal(table[5], beginning[5])


def test_the_first_step_is_one_learning_rate_long() -> None:
    table = torch.zeros(2, 2)
    RowAdam(table, lr=0.5, betas=(0.9, 0.98)).step(torch.tensor([1]), torch.tensor([[3.0, -1e-3]]))
    torch.testing.assert_close(table, torch.tensor([[0.0, 0.0], [-0.5, 0.5]]), atol=1e-4, rtol=0)
