"""The term of the place: what it is by itself, and what it is for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from recsys.config import RankerSettings
from recsys.errors import BundleError
from recsys.features.history import F32, I32, MISSING
from recsys.features.windows import Bool
from recsys.ranking.examples import Lists
from recsys.ranking.held import held_out, place_figures
from recsys.ranking.model import Ranker
from recsys.ranking.places import PACE, Places, optimiser
from recsys.ranking.train import Examples, train_ranker
from recsys.ranking.trained import TrainedRanker
from recsys.ranking.validation import logloss
from tests.ranking.test_examples import CLICK, IMPRESSION, NOTHING, Row, log, made, noise

LINEAR = RankerSettings(hidden=(), cross=0, batch=256, lr=0.01, epochs=12, patience=12, dropout=0.0, weight_decay=0.0)
SMALL = RankerSettings(hidden=(8,), batch=64, lr=0.01, epochs=3, patience=3)
ITEMS = 6
EYE = np.eye(ITEMS, dtype=np.float32)
NAMES = tuple("abcdef")
RELEVANCE = np.asarray([0.5, 0.4, 0.3, 0.2, 0.12, 0.06])  # of each item, to whoever sees it
EXAMINED = np.asarray([0.9, 0.6, 0.4, 0.27, 0.18, 0.12])  # how many see each place


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_each_place_has_a_value_deeper_ones_share_one_and_an_unknown_one_has_none() -> None:
    places = Places(2)
    with torch.no_grad():
        places.value.copy_(torch.tensor([0.5, -1.0, -2.0]))
    position = torch.tensor([1, 2, 3, 40, 0, -1], dtype=torch.int32)
    assert places(position).tolist() == [0.5, -1, -2, -2, 0, 0]
    places(position).sum().backward()
    assert places.value.grad is not None
    assert places.value.grad.tolist() == [1, 1, 2]


def test_places_learn_faster_and_are_not_held_back() -> None:
    """Adam's first step is the learning rate, whatever the gradient; what tells nothing decays, places do not."""
    model = Ranker(1, (), 0, 0.0, positions=1)
    assert model.places is not None
    with torch.no_grad():
        model.places.value.fill_(2.0)
        model.head.weight.fill_(2.0)
    model.places(torch.tensor([1])).sum().backward()
    model.head.weight.grad = torch.zeros_like(model.head.weight)
    optimiser(model, model.places, 0.01, 0.1).step()
    assert model.places.value.tolist() == pytest.approx([2 - PACE * 0.01, 2.0])
    assert model.head.weight.item() == pytest.approx(1.99)
    assert len(optimiser(Ranker(1, (), 0, 0.0), None, 0.01, 0.1).param_groups) == 1


def clicks(count: int, seed: int) -> tuple[I32, Bool]:
    """Lists [R, K] of all items that a biased policy made, good ones mostly low; and clicks: seen, and then liked."""
    random = np.random.default_rng(seed)
    shown = np.argsort(RELEVANCE * 8 + random.gumbel(size=(count, ITEMS)), axis=1).astype(np.int32)
    return shown, random.random(shown.shape) < EXAMINED * RELEVANCE[shown]


def learned_from(shown: I32, clicked: Bool) -> Examples:
    """What the builder makes of these lists, impressions of list n at 2 n and its clicks after them."""
    rows: list[Row] = []
    position: list[int] = []
    for number, (items, taken) in enumerate(zip(shown.tolist(), clicked.tolist(), strict=True)):
        hits = [item for item, hit in zip(items, taken, strict=True) if hit]
        rows += [(0, 2 * number, IMPRESSION, item, number) for item in items]
        rows += [(0, 2 * number + 1, CLICK, item, number) for item in hits]
        position += [*range(1, ITEMS + 1), *(MISSING for _ in hits)]
    known = log(rows, position)
    pairs = made(known, noise(NOTHING, 1), lists=Lists(10, 2**62))
    request = known.request[pairs.row].astype(np.int64)
    return Examples(
        x=EYE[pairs.item],
        y=(pairs.behaviour >= 0).astype(np.float32),
        request=request,
        at=request,
        user=request,
        offset=np.zeros(len(request), dtype=np.float32),
        position=pairs.position,
    )


@pytest.mark.parametrize("pairwise", [0.0, 0.5])
def test_the_right_order_is_learned_from_lists_that_showed_good_items_low(pairwise: float) -> None:
    """The judge is what clicks were drawn by, with examination and liking multiplied: not the model's own form."""
    shown, clicked = clicks(8_000, 0)
    counted = np.asarray([clicked[shown == item].mean() for item in range(ITEMS)])
    assert counted[0] < counted[2]  # to count clicks is to be misled
    data = learned_from(shown, clicked)
    conf = LINEAR.model_copy(update={"pairwise": pairwise})
    misled, _ = train_ranker(data, conf, 1, NAMES)
    assert np.argsort(-misled.score(EYE)).tolist() != list(range(ITEMS))
    assert misled.score(EYE)[0] < misled.score(EYE)[2]
    ranker, _ = train_ranker(data, conf.model_copy(update={"positions": ITEMS}), 1, NAMES)
    assert np.argsort(-ranker.score(EYE)).tolist() == list(range(ITEMS))
    added = list(place_figures(ranker).values())[:ITEMS]
    assert added == sorted(added, reverse=True)  # as examination falls
    assert 1.5 < added[0] - added[-1] < 3  # ln(.9 / .12) is 2.0; odds and lists without clicks, left out, stretch it


CHANCE = np.asarray([0.4, 0.25, 0.15, 0.1, 0.06, 0.04])  # of each item to be the next one
ADDED = np.asarray([1.5, 1.0, 0.5, 0.0])  # log odds of places 1, 2, 3 and deeper over a request without a list


def mixed(seed: int = 0, count: int = 3000) -> Examples:
    """Requests of their own with one drawn negative of each item, and lists whose odds are of the term's own form."""
    random = np.random.default_rng(seed)
    label = random.choice(ITEMS, count, p=CHANCE)
    own = np.concatenate([label, np.tile(np.arange(ITEMS), count)])
    shown = np.argsort(random.random((count, ITEMS)), axis=1)
    odds = CHANCE[shown] * np.exp(ADDED[np.minimum(np.arange(ITEMS), 3)])
    clicked = random.random(shown.shape) < odds / (1 + odds)
    request = [np.arange(count), np.repeat(np.arange(count), ITEMS), np.repeat(np.arange(count), ITEMS) + count]
    order = np.argsort(np.concatenate(request) % count, kind="stable")
    number = np.concatenate(request)[order]
    return Examples(
        x=EYE[np.concatenate([own, shown.ravel()])[order]],
        y=np.concatenate([np.ones(count), np.zeros(count * ITEMS), clicked.ravel()]).astype(np.float32)[order],
        request=number,
        at=number % count,
        user=number,
        offset=np.zeros(len(order), dtype=np.float32),
        position=np.concatenate([np.zeros(len(own)), np.tile(np.arange(1, ITEMS + 1), count)]).astype(np.int32)[order],
    )


@pytest.fixture(scope="module")
def both() -> tuple[TrainedRanker, Examples, RankerSettings]:
    torch.set_num_threads(1)
    conf = LINEAR.model_copy(update={"positions": 3})
    return train_ranker(mixed(), conf, 1, NAMES)[0], mixed(), conf


def test_scores_mean_what_requests_of_their_own_say_and_places_say_the_rest(
    both: tuple[TrainedRanker, Examples, RankerSettings],
) -> None:
    ranker, data, _ = both
    assert ranker.score(EYE) == pytest.approx(CHANCE / (1 + CHANCE), rel=0.12)
    assert list(place_figures(ranker)) == ["place.1", "place.2", "place.3", "place.deeper"]
    assert list(place_figures(ranker).values()) == pytest.approx(ADDED, abs=0.15)
    without, _ = train_ranker(data, LINEAR, 1, NAMES)
    assert place_figures(without) == {}
    assert (without.score(EYE) > 1.15 * CHANCE / (1 + CHANCE)).all()  # shown lists pulled them up


def test_what_is_measured_on_the_held_out_slice_knows_the_places(
    both: tuple[TrainedRanker, Examples, RankerSettings],
) -> None:
    _, data, conf = both
    ranker, logs = train_ranker(data, conf.model_copy(update={"epochs": 2}), 1, NAMES)
    labels, chance, weight = held_out(ranker, data, conf)
    assert logloss(labels, chance, weight) == pytest.approx(min(epoch.validation_logloss for epoch in logs), abs=1e-6)
    rows = np.arange(40)
    places = np.asarray(data.position)[rows]
    value = np.append(0, list(place_figures(ranker).values()))[np.clip(places, 0, 4)]
    assert data.taken_off(ranker, rows) == pytest.approx(-value)
    assert replace(data, position=None).taken_off(ranker, rows).tolist() == [0] * 40


def test_no_score_depends_on_what_places_add(both: tuple[TrainedRanker, Examples, RankerSettings]) -> None:
    ranker, *_ = both
    said = [ranker.score(EYE), ranker.logits(EYE), ranker.heads(EYE)]
    assert ranker.model.places is not None
    before = ranker.model.places.value.detach().clone()
    with torch.no_grad():
        ranker.model.places.value.fill_(7.0)
    assert ranker.placed(np.asarray([1, 9, 0], np.int32)).tolist() == [7, 7, 0]
    again = [ranker.score(EYE), ranker.logits(EYE), ranker.heads(EYE)]
    with torch.no_grad():
        ranker.model.places.value.copy_(before)
    assert [value.tobytes() for value in again] == [value.tobytes() for value in said]


def test_places_are_stored_and_an_increment_goes_on_with_them(
    both: tuple[TrainedRanker, Examples, RankerSettings], tmp_path: Path
) -> None:
    ranker, data, conf = both
    ranker.save(tmp_path)
    start = TrainedRanker.load(tmp_path)
    assert start.shape == ranker.shape
    assert start.shape.positions == 3
    assert place_figures(start) == place_figures(ranker)
    few = data.request % 3000 < 300
    new = Examples(
        **{name: getattr(data, name)[few] for name in ("x", "y", "request", "at", "user", "offset", "position")}
    )
    more, _ = train_ranker(new, conf, 1, NAMES, start=start)
    moved = np.abs(np.subtract(list(place_figures(more).values()), list(place_figures(ranker).values())))
    assert 0 < moved.max() < 0.5  # from where the start was, not from 0
    for other in (0, 4):
        with pytest.raises(BundleError, match=r"other ranker\.positions than"):
            train_ranker(new, conf.model_copy(update={"positions": other}), 1, NAMES, start=start)


@hypothesis_settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 5), st.sampled_from([0.0, 0.5]), st.booleans())
def test_without_places_training_is_what_it_is_without_the_term(
    seed: int, positions: int, pairwise: float, told: bool
) -> None:
    random = np.random.default_rng(seed)
    x: F32 = random.normal(size=(400, 3)).astype(np.float32)
    y = (random.random(400) < 1 / (1 + np.exp(-x[:, 0]))).astype(np.float32)
    request = np.arange(400) // 4
    unknown = np.where(random.random(400) < 0.5, 0, MISSING).astype(np.int32) if told else None
    zero = np.zeros(400, dtype=np.float32)
    data = Examples(x=x, y=y, request=request, at=request, user=request, offset=zero, position=unknown)
    conf = SMALL.model_copy(update={"pairwise": pairwise})
    (plain, logs), (term, others) = (
        train_ranker(data, conf.model_copy(update={"positions": count}), seed, ("a", "b", "c"))
        for count in (0, positions)
    )
    assert term.score(x).tobytes() == plain.score(x).tobytes()
    assert [epoch.validation_logloss for epoch in logs] == [epoch.validation_logloss for epoch in others]
    assert set(place_figures(term).values()) == {0.0}
    weights = term.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in plain.model.state_dict().items())
