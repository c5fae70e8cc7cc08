"""Target attention: against plain loops, what it gives of nothing, and a world that only attention can tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.config import RankerSettings
from recsys.errors import BundleError, NoDataError
from recsys.features.history import F64
from recsys.ranking.attention import LONG, OUTPUTS, Attention, TargetAttention, sequences
from recsys.ranking.held import held_out
from recsys.ranking.importance import ATTENDED, gradients, importance, named
from recsys.ranking.recent import Recent
from recsys.ranking.select import train_selected
from recsys.ranking.start import check_start
from recsys.ranking.train import Examples, train_ranker
from recsys.ranking.trained import TrainedRanker
from recsys.ranking.validation import area_under_curve

NAMES, BEHAVIOURS = ("a", "b"), ("view", "purchase")
LENGTH = 3
CPU = torch.device("cpu")
FAST = {"hidden": (8,), "batch": 256, "lr": 0.01, "dropout": 0.0, "epochs": 8, "patience": 8}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def settings(**other: object) -> RankerSettings:
    return RankerSettings.model_validate(FAST | {"attention": LENGTH} | other)


def random_recent(pairs: int, points: int, seed: int = 0) -> Recent:
    random = np.random.default_rng(seed)
    similarity = random.uniform(-1, 1, (pairs, LENGTH)).astype(np.float32)
    similarity[random.random(similarity.shape) < 0.3] = np.nan
    return Recent(
        similarity=similarity,
        behaviour=random.integers(0, len(BEHAVIOURS) + 1, (points, LENGTH)).astype(np.int8),
        gap=random.uniform(0, 15, (points, LENGTH)).astype(np.float32),
        point=np.sort(random.integers(0, points, pairs)),
    )


def network(heads: int = 2, hidden: int = 5) -> TargetAttention:
    torch.manual_seed(0)
    return TargetAttention(Attention(length=LENGTH, behaviours=BEHAVIOURS, heads=heads, hidden=hidden))


def looped(attention: TargetAttention, recent: Recent) -> F64:
    """The same from the words of the docstring, number by number in double precision."""
    state = {name: value.double().numpy() for name, value in attention.state_dict().items()}
    rows = []
    for pair, point in enumerate(recent.point):
        sums, cosines, values = (np.zeros(attention.heads) for _ in range(OUTPUTS))
        for place in range(recent.length):
            cosine = float(recent.similarity[pair, place])
            if np.isnan(cosine):
                continue
            kind = np.eye(len(BEHAVIOURS) + 1)[recent.behaviour[point, place]]
            read = np.append(kind, float(recent.gap[point, place]) / LONG)
            hidden = np.maximum(state["hidden.weight"] @ read + state["hidden.bias"], 0)
            told = state["told.weight"] @ hidden + state["told.bias"]
            change, level, value = told.reshape(OUTPUTS, -1)
            weight = np.exp(state["sharpness"] * np.exp(change) * (cosine - 1) + level)
            sums, cosines, values = sums + weight, cosines + weight * cosine, values + weight * value
        rows.append(np.stack([np.log1p(sums), cosines / (1 + sums), values / (1 + sums)], axis=1).ravel())
    return np.asarray(rows)


def test_it_agrees_with_plain_loops() -> None:
    attention, recent = network(), random_recent(40, 7)
    assert attention.sharpness.tolist() == [2, 16]
    found = attention(sequences(recent, CPU)).detach().numpy()
    assert found.shape == (40, attention.width)
    assert found == pytest.approx(looped(attention, recent), abs=1e-5)
    turned = replace(recent, **{n: getattr(recent, n)[:, ::-1].copy() for n in ("similarity", "behaviour", "gap")})
    assert attention(sequences(turned, CPU)).detach().numpy() == pytest.approx(found, abs=1e-6)


def test_nothing_to_attend_to_gives_zeros_and_whole_gradients() -> None:
    recent = random_recent(8, 3)
    recent.similarity[:4] = np.nan
    attention = network()
    told = attention(sequences(recent, CPU))
    assert (told[:4] == 0).all()
    assert (told[4:] != 0).any()
    told.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in attention.parameters())


def world(seed: int, requests: int = 600) -> Examples:
    """Of each request's four items the one most like the last thing bought is taken; features are noise."""
    random = np.random.default_rng(seed)
    similarity = random.uniform(-1, 1, (requests, 4, LENGTH)).astype(np.float32)
    behaviour = np.stack([random.permutation([1, 1, 2]) for _ in range(requests)]).astype(np.int8)
    bought = behaviour.argmax(axis=1)
    best = similarity[np.arange(requests), :, bought].argmax(axis=1)
    request = np.repeat(np.arange(requests), 4)
    return Examples(
        x=random.normal(size=(4 * requests, 2)).astype(np.float32),
        y=(np.tile(np.arange(4), requests) == best[request]).astype(np.float32),
        request=request,
        at=request * 1_000_000 + seed * 10**12,
        user=request,
        offset=np.zeros(4 * requests, dtype=np.float32),
        recent=Recent(
            similarity=similarity.reshape(-1, LENGTH),
            behaviour=behaviour,
            gap=random.uniform(1, 12, behaviour.shape).astype(np.float32),
            point=request,
        ),
        behaviours=BEHAVIOURS,
    )


@pytest.fixture(scope="module")
def attending() -> TrainedRanker:
    torch.set_num_threads(1)
    return train_ranker(world(0), settings(), 1, NAMES)[0]


def told_apart(ranker: TrainedRanker, examples: Examples) -> float:
    return area_under_curve(examples.y, ranker.logits(*examples.read(np.arange(len(examples.y)))))


def test_it_learns_which_behaviours_matter_where_features_tell_nothing(attending: TrainedRanker) -> None:
    blind, _ = train_ranker(world(0), settings(attention=0), 1, NAMES)
    assert blind.attention == 0
    assert abs(told_apart(blind, world(1)) - 0.5) < 0.05
    assert attending.attention == LENGTH
    assert told_apart(attending, world(1)) > 0.85
    labels, chance, _ = held_out(attending, world(0), settings())
    assert area_under_curve(labels, chance) > 0.85


def test_the_same_seed_gives_the_same_weights_and_scores_do_not_depend_on_company(attending: TrainedRanker) -> None:
    again, _ = train_ranker(world(0), settings(), 1, NAMES)
    data = world(1)
    every = attending.score(*data.read(np.arange(len(data.y))))
    assert again.score(*data.read(np.arange(len(data.y)))).tobytes() == every.tobytes()
    some = np.asarray([7, 3, 900])
    assert attending.score(*data.read(some)) == pytest.approx(every[some], abs=1e-6)


def test_it_is_stored_with_the_ranker(attending: TrainedRanker, tmp_path: Path) -> None:
    attending.save(tmp_path)
    again = TrainedRanker.load(tmp_path)
    assert again.shape == attending.shape
    assert again.shape.attention == Attention(length=LENGTH, behaviours=BEHAVIOURS)
    x, recent = world(1).read(np.arange(50))
    assert again.score(x, recent).tobytes() == attending.score(x, recent).tobytes()
    none = np.zeros(0, dtype=np.int64)
    assert again.heads(*world(1).read(none)).shape == (0, 1)


def test_an_increment_goes_on_with_it_and_takes_no_other(attending: TrainedRanker) -> None:
    more, logs = train_ranker(world(2), settings(), 1, NAMES, start=attending)
    assert [log.epoch for log in logs] == [0, 1, 2]
    assert more.shape.attention == attending.shape.attention
    assert told_apart(more, world(1)) > 0.85
    for other in (0, LENGTH + 1):
        with pytest.raises(BundleError, match=r"other ranker\.attention than"):
            check_start(attending, settings(attention=other), NAMES, BEHAVIOURS)
    with pytest.raises(BundleError, match=r"attends to behaviours \('view', 'purchase'\), .* \('purchase', 'view'\)"):
        check_start(attending, settings(), NAMES, BEHAVIOURS[::-1])
    blind, _ = train_ranker(world(0, 60), settings(attention=0, epochs=1), 1, NAMES)
    with pytest.raises(BundleError, match=r"other ranker\.attention than"):
        train_ranker(world(2), settings(), 1, NAMES, start=blind)


def test_what_is_lacking_is_named(attending: TrainedRanker) -> None:
    data = world(1)
    with pytest.raises(BundleError, match="attends to 3 behaviours of a user, and was given features alone"):
        attending.score(data.x)
    with pytest.raises(BundleError, match=r"3 behaviours of each of 2400 pairs, .* \(4, 3\)"):
        attending.score(data.x, data.read(np.arange(4))[1])
    with pytest.raises(NoDataError, match=r"have 3 behaviours .* ranker\.attention asks for 5"):
        train_ranker(data, settings(attention=5), 1, NAMES)
    with pytest.raises(NoDataError, match="have 0 behaviours"):
        train_ranker(replace(data, recent=None), settings(), 1, NAMES)


def test_importance_knows_the_behaviours_as_one_more(attending: TrainedRanker) -> None:
    data = world(1)
    x, recent = data.read(np.arange(len(data.y)))
    assert named(attending) == (*NAMES, ATTENDED)
    rises = importance(attending, x, data.y, data.offset, 2, 0, recent)
    assert rises[2] > 0.2 > 10 * max(abs(rises[:2]))
    sizes = gradients(attending, x, recent)
    assert sizes.shape == (3,)
    assert sizes[2] > 10 * max(sizes[:2])


def test_features_are_chosen_beside_it() -> None:
    """Both features are noise: with no more than one of them kept, the ranker still attends."""
    conf = settings(selection={"by": ["importance"], "importance": -1.0, "most": 1})
    ranker, _ = train_selected(world(0), conf, 1, NAMES)
    assert ranker.shape.selection is not None
    assert [one.feature for one in ranker.shape.selection.features] == list(NAMES)
    assert len(ranker.shape.selection.dropped) == 1
    assert told_apart(ranker, world(1)) > 0.85


def test_parts_of_a_linear_ranker_add_up_to_its_logit() -> None:
    """Of one example each part's size is its term; with one sign they add up to the logit less that of nothing."""
    linear, _ = train_ranker(world(0, 100), settings(hidden=(), cross=0, epochs=1), 1, NAMES)
    x, recent = world(1).read(np.asarray([5]))
    nothing = replace(recent, similarity=np.full_like(recent.similarity, np.nan)) if recent else None
    moved = abs(linear.logits(x, recent) - linear.logits(x, nothing))
    assert gradients(linear, x, recent)[2] == pytest.approx(float(moved[0]), rel=1e-3)


def test_an_old_description_has_none(attending: TrainedRanker, tmp_path: Path) -> None:
    blind, _ = train_ranker(world(0, 60), settings(attention=0, epochs=1), 1, NAMES)
    blind.save(tmp_path)
    assert "attention" not in (tmp_path / "ranker.json").read_text(encoding="utf-8")
    assert TrainedRanker.load(tmp_path).attention == 0
    assert not any(name.startswith("attention") for name in blind.model.state_dict())
