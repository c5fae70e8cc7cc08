"""Heads beside the next item: their losses by hand, what they learn, and what increments make of them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.config import EncoderSettings
from recsys.encoder.heads import Heads, standardised
from recsys.encoder.model import Encoder
from recsys.encoder.sequences import tokens
from recsys.encoder.train import train
from recsys.encoder.trained import TrainedEncoder
from recsys.encoder.vocabulary import Vocabulary
from recsys.features.history import Histories, at_end
from tests.encoder.samples import BEHAVIOURS, encoder_of
from tests.encoder.test_train import SMALL, chains, learn, state

BOTH = SMALL.model_copy(update={"type_weight": 0.5, "value_weight": 2.0})
NAN = float("nan")


def rated(users: int) -> Histories:
    """Chains whose even items are always rated 1 and whose odd ones 5; each third behaviour is none."""
    h = chains(users)
    number = np.asarray([int(item[1:]) for item in h.items])[h.item]
    return replace(h, value=np.where(h.behaviour == 2, np.nan, np.where(number % 2, 5.0, 1.0)))


def test_without_weights_there_is_nothing_and_with_them_all_else_begins_alike() -> None:
    plain, heads = (Encoder(s, 9, 3, torch.Generator().manual_seed(3)) for s in (SMALL, BOTH))
    assert list(plain.beside.parameters()) == []
    assert set(heads.state_dict()) - set(plain.state_dict()) == {"beside.types", "beside.value"}
    for name, weight in plain.state_dict().items():
        assert torch.equal(heads.state_dict()[name], weight), name
    assert not heads.beside.types.any()  # type: ignore[union-attr]


def test_the_losses_by_hand() -> None:
    heads = Heads(EncoderSettings(dim=4, type_weight=0.5, value_weight=2.0), 2)
    query, positive = torch.tensor([[1.0, 0, 0, 0], [0, 2.0, 0, 0]]), torch.ones(2, 4)
    behaviour, value = torch.tensor([1, 2]), torch.tensor([NAN, 3.0])
    # Zeros guess each of three types alike, and each rating as the mean: 3 * 3 over two targets, one without a rating.
    assert float(heads(query, positive, behaviour, value).detach()) == pytest.approx(0.5 * math.log(3) + 2 * 9 / 2)
    with torch.no_grad():
        heads.types[1, 0], heads.value[1], heads.value[4] = 1.0, 1.0, 0.5  # type: ignore[index]
    # Logits 0 1 0 of the first, 0 0 0 of the second; the second's rating is guessed as 2 * 1 + .5.
    types = (math.log(2 + math.e) - 1 + math.log(3)) / 2
    loss = heads(query.requires_grad_(), positive, behaviour, value)
    assert float(loss.detach()) == pytest.approx(0.5 * types + 2 * 0.25 / 2)
    torch.autograd.backward(loss)
    assert query.grad is not None
    assert query.grad.isfinite().all()


def test_ratings_are_standardised_and_none_stays_none() -> None:
    h = rated(5)
    t = tokens(h, Vocabulary(()).grow(h.items), 3)
    found = standardised(t).value
    assert np.nanmean(found) == pytest.approx(0, abs=1e-12)
    assert np.nanstd(found) == pytest.approx(1)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(h.value))
    assert standardised(replace(t, value=np.array([4.0, 4.0, NAN]))).value.tolist()[:2] == [0.0, 0.0]
    assert np.isnan(standardised(replace(t, value=np.array([NAN]))).value).all()


def test_they_learn_what_follows_and_how_it_is_rated() -> None:
    """In a chain the types take turns, so the next one is known; odd items are rated 5, even ones 1."""
    # Without anybody held out the newest epoch is kept, not the one that is best for items.
    to_the_end = BOTH.model_copy(update={"validation_users": 0, "prefixes": True})
    encoder, _ = train(rated(400), BEHAVIOURS, to_the_end, 1)
    fresh = chains(60, seed=9)
    query = torch.from_numpy(encoder.encode(fresh, at_end(fresh, fresh.time[fresh.offsets[1:] - 1] + 60_000_000)))
    query = query / encoder.settings.temperature
    heads = encoder.model.beside
    assert heads.types is not None
    assert heads.value is not None
    guessed = (query @ heads.types.T).argmax(1).numpy() - 1
    assert (guessed == fresh.lengths % 3).mean() > 0.7  # chance: a third
    items = torch.from_numpy(encoder.item_vectors())
    rating = ((query[:, None] * items) @ heads.value[:-1] + heads.value[-1]).detach().numpy()
    number = np.asarray([int(item[1:]) for item in encoder.vocabulary.items])
    last = np.asarray([int(fresh.items[item][1:]) for item in fresh.item[fresh.offsets[1:] - 1]])
    following = rating[np.arange(60), np.argsort(number)[(last + 1) % 60]]
    assert following[last % 2 == 0].mean() > 0.5 > -0.5 > following[last % 2 == 1].mean()


def test_bundles_keep_them_and_an_earlier_bundle_has_none(tmp_path: Path) -> None:
    encoder = encoder_of(BOTH, "abcd")
    with torch.no_grad():
        encoder.model.beside.types.normal_()  # type: ignore[union-attr]
    encoder.save(tmp_path / "new")
    assert torch.equal(state(TrainedEncoder.load(tmp_path / "new"))["beside.types"], state(encoder)["beside.types"])
    encoder_of(SMALL, "abcd").save(tmp_path / "old")
    told = tmp_path / "old" / "encoder.json"
    text = told.read_text()
    told.write_text(text.replace('"type_weight": 0.0, "value_weight": 0.0, ', ""))
    assert told.read_text() != text
    assert "beside.types" not in state(TrainedEncoder.load(tmp_path / "old"))


@pytest.mark.parametrize(("before", "after"), [(SMALL, BOTH), (BOTH, SMALL), (BOTH, BOTH)])
def test_an_increment_may_add_them_and_leave_them_out(before: EncoderSettings, after: EncoderSettings) -> None:
    start, _ = train(rated(60), BEHAVIOURS, before.model_copy(update={"epochs": 1}), 1)
    newer = chains(40, seed=4, first=1000)
    grown, _ = train(newer, (*BEHAVIOURS, "like"), after, 1, start)
    assert ("beside.types" in state(grown)) == (after is BOTH)
    if after is BOTH:
        assert len(state(grown)["beside.types"]) == 5
    fresh, _ = train(newer, BEHAVIOURS, after, 1, origin=start)
    assert ("beside.value" in state(fresh)) == (after is BOTH)


def test_they_change_what_the_rest_learns() -> None:
    plain, both = (learn(chains(60), epochs=1, type_weight=weight)[0] for weight in (0.0, 1.0))
    assert not torch.equal(state(plain)["items"], state(both)["items"])
