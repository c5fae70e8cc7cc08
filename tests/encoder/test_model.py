from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from recsys.config import EncoderSettings
from recsys.encoder.model import Block, Encoder
from recsys.encoder.sequences import GAPS, Batch, Tokens, Windows, collate, ragged
from tests.encoder.samples import model_of

ITEMS = 9
SMALL = EncoderSettings(dim=8, heads=2, length=6, blocks=2)


def windows(*lengths: int, seed: int = 0) -> Batch:
    random = np.random.default_rng(seed)
    size = sum(lengths)
    t = Tokens(
        item=random.integers(0, ITEMS + 1, size),
        behaviour=random.integers(0, 4, size),
        gap=random.integers(1, 20, size),
        ahead=random.integers(1, 20, size),
        time=np.zeros(size, dtype=np.int64),
        value=np.full(size, np.nan),
    )
    end = np.cumsum(lengths)
    w = Windows(start=end - np.asarray(lengths), end=end)
    return collate(t, w, ragged(w.start, w.lengths), t.item)


def run(model: Encoder, batch: Batch, newest: bool = False) -> Tensor:
    with torch.inference_mode():
        found: Tensor = model(batch, model.items, newest=newest)
    return found


def part(batch: Batch, row: int) -> Batch:
    """Window `row` alone."""
    end = int(batch.lengths[: row + 1].sum())
    own = slice(end - int(batch.lengths[row]), end)
    columns = {name: getattr(batch, name)[own] for name in ("item", "behaviour", "gap", "ahead", "back")}
    return Batch(**columns, lengths=batch.lengths[row : row + 1], longest=int(batch.lengths[row]), slots=None)


def norm(x: Tensor, weight: Tensor) -> Tensor:
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * weight


def plain_block(b: Block, x: Tensor) -> Tensor:
    """One window [L, D], token by token and head by head."""
    normed = norm(x, b.attention_norm.weight)
    width = x.shape[1]
    key, value = (normed @ b.key_value.weight.T).chunk(2, dim=1)
    query_gate = normed @ b.query_gate.weight.T + b.query_gate.bias
    query, gate = query_gate[:, :width], query_gate[:, width:]
    gates = b.query_gate.out_features > width
    size = width // b.heads
    attended = torch.zeros_like(x)
    for now in range(len(x)):
        for head in range(b.heads):
            own = slice(head * size, (head + 1) * size)
            scores = [float(query[now, own] @ key[then, own]) / size**0.5 for then in range(now + 1)]
            for share, then in zip(torch.tensor(scores).softmax(0), range(now + 1), strict=True):
                attended[now, own] += share * value[then, own]
    x = x + (gate.sigmoid() if gates else 1.0) * (attended @ b.merge.weight.T)
    wide = norm(x, b.inner_norm.weight) @ b.widen.weight.T + b.widen.bias
    inner = b.narrow.weight.shape[1]
    up, swish, gate = wide[:, :inner], wide[:, inner : 2 * inner], wide[:, 2 * inner :]
    return x + (gate.sigmoid() if gates else 1.0) * ((up * swish * swish.sigmoid()) @ b.narrow.weight.T)


@pytest.mark.parametrize(("blocks", "gates"), [(1, True), (2, True), (2, False)])
def test_it_computes_what_a_plain_loop_computes(blocks: int, gates: bool) -> None:
    model = model_of(SMALL.model_copy(update={"blocks": blocks, "gates": gates}), ITEMS)
    batch = windows(4)
    with torch.inference_mode():
        x = model.items[batch.item] * 8**0.5 + model.behaviours[batch.behaviour]
        x = x + model.gaps[batch.gap] + model.ahead[batch.ahead] + model.places[batch.back]
        for block in model.blocks:
            assert isinstance(block, Block)
            x = plain_block(block, x)
        wanted = norm(x, model.norm.weight)
        wanted = wanted / wanted.norm(dim=1, keepdim=True)
    torch.testing.assert_close(run(model, batch), wanted, atol=1e-5, rtol=1e-4)


def test_padding_changes_nothing() -> None:
    model, batch = model_of(SMALL, ITEMS), windows(1, 6, 3, 6)
    assert batch.slots is not None
    alone = torch.cat([run(model, part(batch, row)) for row in range(4)])
    torch.testing.assert_close(run(model, batch), alone, atol=1e-5, rtol=1e-4)
    equal = windows(3, 3)
    assert equal.slots is None
    alone = torch.cat([run(model, part(equal, row)) for row in range(2)])
    torch.testing.assert_close(run(model, equal), alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("column", ["item", "behaviour", "gap"])
def test_a_later_token_never_changes_an_earlier_output(column: str) -> None:
    model, batch = model_of(SMALL, ITEMS), windows(6)
    before = run(model, batch)
    for place in range(6):
        values = getattr(batch, column).clone()
        values[place] = (values[place] + 1) % 4
        after = run(model, replace(batch, **{column: values}))
        torch.testing.assert_close(after[:place], before[:place], atol=1e-6, rtol=0)
        assert ((after[place:] - before[place:]).abs().amax(dim=1) > 1e-4).all()  # and reaches all from its own on


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("lengths", [(1, 6, 3), (4, 4), (1,)])
def test_the_newest_alone_equals_the_last_rows(blocks: int, lengths: tuple[int, ...]) -> None:
    model = model_of(SMALL.model_copy(update={"blocks": blocks}), ITEMS)
    batch = windows(*lengths)
    last = run(model, batch)[np.cumsum(lengths) - 1]
    torch.testing.assert_close(run(model, batch, newest=True), last, atol=1e-5, rtol=1e-4)


def test_vectors_have_unit_length() -> None:
    model = model_of(SMALL, ITEMS)
    for vectors in (run(model, windows(5, 2)), model.item_vectors()):
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(vectors)))
    assert model.item_vectors().shape == (ITEMS, 8)


def test_a_table_of_the_rows_that_occur_is_as_good_as_all() -> None:
    model, batch = model_of(SMALL, ITEMS), windows(5, 2)
    rows, local = np.unique(batch.item.numpy(), return_inverse=True)
    with torch.inference_mode():
        small = model(replace(batch, item=torch.from_numpy(local)), model.items[torch.from_numpy(rows)])
    torch.testing.assert_close(small, run(model, batch))


def test_the_beginning_is_drawn_from_the_generator_and_unknown_is_zero() -> None:
    one, two = (Encoder(SMALL, 500, 3, torch.Generator().manual_seed(4)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert (one.items[0] == 0).all()
    assert float(one.items[1:].detach().std()) == pytest.approx(0.02, rel=0.05)
    assert one.gaps.shape == (GAPS, 8)
    block = one.blocks[0]
    assert isinstance(block, Block)
    assert float(block.widen.weight.detach().std()) == pytest.approx(
        8**-0.5, rel=4 / (2 * block.widen.weight.numel()) ** 0.5
    )
    assert (block.widen.bias == 0).all()
    assert (block.inner_norm.weight == 1).all()


def test_dropout_works_in_training_only() -> None:
    model, batch = model_of(SMALL, ITEMS), windows(5)
    torch.testing.assert_close(run(model, batch), run(model, batch), atol=0, rtol=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model.train()
        assert not torch.equal(run(model, batch), run(model, batch))
