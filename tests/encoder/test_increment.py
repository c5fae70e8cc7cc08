import numpy as np
import pytest
import torch

from recsys.config import EncoderSettings
from recsys.encoder.increment import NOISE, check, extended, grown
from recsys.encoder.model import Encoder
from recsys.encoder.sequences import tokens
from recsys.encoder.trained import TrainedEncoder
from recsys.errors import BundleError
from tests.encoder.samples import BEHAVIOURS, encoder_of, views

SMALL = EncoderSettings(dim=32, heads=2, length=6)


def grow(
    start: TrainedEncoder, *users: str, behaviours: int = 3, guessed: dict[str, torch.Tensor] | None = None
) -> tuple[Encoder, dict[str, int]]:
    h = views(*users)
    vocabulary = start.vocabulary.grow(h.items)
    blank = Encoder(SMALL, len(vocabulary), behaviours, torch.Generator().manual_seed(5))
    new = vocabulary.items[len(start.vocabulary) :]
    content = torch.stack([(guessed or {}).get(item, torch.zeros(32)) for item in new]) if new else torch.zeros(0, 32)
    generator = torch.Generator().manual_seed(6)
    model = grown(start, blank, tokens(h, vocabulary, behaviours), h.offsets, generator, content)
    return model, {item: row for row, item in enumerate(vocabulary.items, start=1)}


def test_what_is_known_stays_to_the_bit() -> None:
    start = encoder_of(SMALL, "abcd")
    model, _ = grow(start, "axb", "cd", behaviours=5)
    state, before = model.state_dict(), start.model.state_dict()
    for name, weight in before.items():
        assert torch.equal(state[name][: len(weight)] if weight.ndim else state[name], weight), name
    assert state["items"].shape == (6, 32)
    assert state["behaviours"].shape == (6, 32)
    assert (state["behaviours"][4:] == 0).all()


def test_a_new_item_begins_between_its_known_neighbours() -> None:
    start = encoder_of(SMALL, "abcd")
    old = start.model.items.detach()
    model, row = grow(start, "axb", "xc", "dy", "yz")
    items = model.items.detach()
    size = float(old[1:].norm(dim=1).mean())
    for item, neighbours in (("x", (1, 2, 3)), ("y", (4,))):  # a and b around it, then c after it; d before it
        wanted = sum((old[n] for n in neighbours), start=torch.zeros(32))
        wanted = wanted / wanted.norm() * size
        added = items[row[item]] - wanted
        assert 0.3 * NOISE * size < float(added.norm()) < 2 * NOISE * size
    assert float(items[row["z"]].norm()) == pytest.approx(size, rel=0.5)  # y is new itself: noise alone


def test_content_speaks_beside_the_neighbours_and_alone() -> None:
    start = encoder_of(SMALL, "abcd")
    said = torch.nn.functional.normalize(torch.arange(32.0) - 20, dim=0)
    model, row = grow(start, "axb", "yz", guessed={"x": said, "y": said})
    items = torch.nn.functional.normalize(model.items.detach(), dim=1)
    raw = start.model.items.detach()
    both = torch.nn.functional.normalize(torch.nn.functional.normalize(raw[1] + raw[2], dim=0) + said, dim=0)
    assert float(items[row["x"]] @ both) > 0.98
    assert float(items[row["y"]] @ said) > 0.98
    assert abs(float(items[row["z"]] @ said)) < 0.6


def test_rows_behind_the_learned_ones_have_their_usual_size() -> None:
    start = encoder_of(SMALL, "abcd")
    before = start.model.items.detach().clone()
    said = torch.nn.functional.normalize(torch.ones(2, 32), dim=1)
    model = extended(start.model, said)
    assert torch.equal(model.items[:5], before)
    torch.testing.assert_close(model.items[5:].norm(dim=1), before[1:].norm(dim=1).mean().expand(2))
    torch.testing.assert_close(model.item_vectors()[4:], said)


def test_neighbours_belong_to_one_user() -> None:
    start = encoder_of(SMALL, "abcd")
    old = start.model.items.detach()
    model, row = grow(start, "a", "", "xb", "c")
    cosine = torch.nn.functional.cosine_similarity
    assert float(cosine(model.items.detach()[row["x"]], old[2], dim=0)) > 0.98


def test_nothing_new_is_the_start_and_an_empty_start_begins_at_noise() -> None:
    start = encoder_of(SMALL, "abcd")
    model, _ = grow(start, "ab")
    assert torch.equal(model.items, start.model.items)
    model, _ = grow(encoder_of(SMALL, ""), "ab")
    assert (model.items.detach()[1:].norm(dim=1) > 0.3).all()
    assert (model.items.detach()[0] == 0).all()


@pytest.mark.parametrize("name", ["dim", "blocks", "heads", "expansion", "length"])
def test_another_shape_is_refused(name: str) -> None:
    start = encoder_of(SMALL, "abcd")
    check(start, SMALL.model_copy(update={"lr": 0.5, "dropout": 0.0}), BEHAVIOURS)  # no part of the shape
    wanted = 2 * getattr(SMALL, name)
    with pytest.raises(BundleError, match=rf"encoder\.{name} is {wanted}, .* has {getattr(SMALL, name)}\. Set"):
        check(start, SMALL.model_copy(update={name: wanted}), BEHAVIOURS)
    with pytest.raises(BundleError, match=r"gates is False, .* has True"):
        check(start, SMALL.model_copy(update={"gates": False}), BEHAVIOURS)


def test_behaviours_may_only_follow() -> None:
    start = encoder_of(SMALL, "abcd")
    check(start, SMALL, (*BEHAVIOURS, "share"))
    for behaviours in (("share", *BEHAVIOURS), BEHAVIOURS[:2], ("click", "view", "cart")):
        with pytest.raises(BundleError, match="knows the behaviours view, click, cart"):
            check(start, SMALL, behaviours)


def test_an_empty_history_grows_nothing() -> None:
    model, row = grow(encoder_of(SMALL, "ab"), "")
    assert len(model.items) == 3
    assert list(row) == ["a", "b"]
    assert np.isfinite(model.items.detach().numpy()).all()
