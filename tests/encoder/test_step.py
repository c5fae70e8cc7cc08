"""A batch and its parts: what is drawn, and that the parts' losses and gradients make up the whole's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recsys.config import EncoderSettings
from recsys.encoder.examples import Examples, split
from recsys.encoder.loss import sampler
from recsys.encoder.sequences import Tokens, tokens
from recsys.encoder.step import Step, draw, loss_of
from recsys.encoder.vocabulary import UNKNOWN, Vocabulary
from tests.encoder.samples import model_of, views

SMALL = EncoderSettings(dim=8, heads=2, length=4, blocks=2, negatives=6, dropout=0.4, smoothing=0.1, validation_users=0)
WORDS = ("abcde", "bcab", "efgh", "aab")


def batch(prefixes: bool, masking: float = 0.0) -> tuple[Tokens, Step, EncoderSettings]:
    s = SMALL.model_copy(update={"prefixes": prefixes, "masking": masking})
    h = views(*WORDS)
    t = tokens(h, Vocabulary(()).grow(h.items), 3)
    rng = np.random.default_rng(0)
    e: Examples = split(h, t, s, rng, None)[0]
    negatives = sampler(np.ones(8, dtype=np.int64), 0.0, s.negatives)
    return t, draw(t, e, np.arange(len(e.windows.end)), s, negatives, rng), s


def spelled(items: np.ndarray[tuple[int], np.dtype[np.int64]]) -> str:
    return "".join("-abcdefgh"[item] for item in items)


def test_a_batch_reads_windows_and_wants_the_next_new_items() -> None:
    _, step, _ = batch(prefixes=False)
    # What lies at or after the last new item is no input; of `bcab` that is the a, of `aab` the b.
    assert spelled(step.inputs) == "abcd" + "bc" + "efg" + "aa"
    assert spelled(step.wanted) == "bcde" + "ca" + "fgh" + "bb"
    assert step.place.tolist() == list(range(11))
    assert step.touched().tolist() == sorted(
        {*step.inputs.tolist(), *step.wanted.tolist(), *step.negatives.items.tolist()}
    )


def test_with_prefixes_each_target_has_its_window() -> None:
    _, step, _ = batch(prefixes=True)
    assert spelled(step.wanted) == "bcde" + "ca" + "fgh" + "bb"
    assert step.windows.lengths.tolist() == [1, 2, 3, 4, 1, 2, 1, 2, 3, 1, 2]
    assert step.place.tolist() == list(range(11))


def test_a_part_has_its_windows_with_their_targets() -> None:
    _, step, _ = batch(prefixes=False)
    part = step.part(np.array([1, 3]), prefixes=False)
    assert (spelled(part.inputs), spelled(part.wanted)) == ("bcaa", "cabb")
    assert part.place.tolist() == [0, 1, 2, 3]
    assert part.share is not None
    assert part.share.tokens.tolist() == [4, 5, 9, 10]
    assert (part.share.of_tokens, part.share.of_windows) == (11, 4)
    one = batch(prefixes=True)[1].part(np.array([3, 4]), prefixes=True)
    assert (spelled(one.inputs), spelled(one.wanted)) == ("abcdb", "ec")
    assert one.place.tolist() == [0, 1]


def test_hidden_items_are_unknown() -> None:
    _, step, _ = batch(prefixes=False, masking=0.5)
    hidden = step.inputs == UNKNOWN
    assert 0 < hidden.sum() < 11
    assert step.touched()[0] == UNKNOWN


@pytest.mark.parametrize("prefixes", [False, True])
@pytest.mark.parametrize("world", [2, 3])
def test_the_parts_make_up_the_whole_dropout_included(prefixes: bool, world: int) -> None:
    t, step, s = batch(prefixes)
    model = model_of(s, 8).train()
    touched = step.touched()

    def learned(part: Step, weight: float) -> tuple[float, list[torch.Tensor]]:
        torch.manual_seed(5)
        table = model.items[torch.from_numpy(touched)].detach().requires_grad_()
        model.zero_grad()
        loss = loss_of(part, model, t, touched, table, s) * weight
        torch.autograd.backward(loss)
        rest = [w.grad.clone() for n, w in model.named_parameters() if n != "items" and w.grad is not None]
        assert table.grad is not None
        return float(loss.detach()), [table.grad, *rest]

    loss, gradients = learned(step, 1.0)
    parts = [step.part(np.arange(rank, len(step.windows.end), world), prefixes) for rank in range(world)]
    found = [learned(part, len(part.wanted) / len(step.wanted)) for part in parts]
    assert sum(one for one, _ in found) == pytest.approx(loss, rel=1e-5)
    assert len(gradients) > 10
    for number, gradient in enumerate(gradients):
        torch.testing.assert_close(sum(one[number] for _, one in found), gradient, rtol=1e-4, atol=1e-5)
