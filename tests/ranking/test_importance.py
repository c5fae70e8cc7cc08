"""Integrated gradients against what a feature alone does to the logit; permutation is tested with the selection."""

import numpy as np
import pytest
import torch

from recsys.config import Operation
from recsys.features.history import F32
from recsys.ranking.fit import fit_inputs
from recsys.ranking.importance import gradients
from recsys.ranking.model import Ranker
from recsys.ranking.trained import Shape, TrainedRanker

NAMES = ("a", "b", "c")


def made(x: F32, *, hidden: tuple[int, ...], cross: int, operations: tuple[Operation, ...] = ()) -> TrainedRanker:
    inputs = fit_inputs(x, NAMES, operations)
    torch.manual_seed(0)
    model = Ranker(inputs.width, hidden, cross, 0.0)
    model(torch.from_numpy(inputs.apply(x)))
    indicator = tuple(inputs.standardisation.indicator.tolist())
    shape = Shape(names=NAMES, indicator=indicator, hidden=hidden, cross=cross, dropout=0.0)
    return TrainedRanker(shape=shape, inputs=inputs, model=model.eval())


def values() -> F32:
    return np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)


def lone(ranker: TrainedRanker, inputs: torch.Tensor, columns: list[int]) -> np.ndarray:
    """What the logit is with these inputs alone, less what it is with none."""
    only = torch.zeros_like(inputs)
    only[:, columns] = inputs[:, columns]
    with torch.inference_mode():
        return np.asarray(ranker.model(only) - ranker.model(torch.zeros_like(inputs)))


def test_parts_of_a_linear_ranker_are_its_terms_and_missingness_belongs_to_its_feature() -> None:
    x = values()
    x[:20, 1] = np.nan
    ranker = made(x, hidden=(), cross=0)
    inputs = torch.from_numpy(ranker.inputs.apply(x))
    assert ranker.inputs.sources == ((0,), (1,), (2,), (1,))
    expected = [np.abs(lone(ranker, inputs, columns)).mean() for columns in ([0], [1, 3], [2])]
    assert gradients(ranker, x) == pytest.approx(expected, rel=1e-4)


def test_a_feature_alone_has_all_of_a_curved_logit() -> None:
    x = values()
    x[:, 1:] = x[:, 1:].mean(axis=0)  # as good as absent: these are at the mean
    ranker = made(values(), hidden=(16,), cross=1)
    ranker.inputs.standardisation.mean[1:] = np.sign(x[0, 1:]) * np.log1p(np.abs(x[0, 1:]))
    found = gradients(ranker, x)
    moved = np.abs(lone(ranker, torch.from_numpy(ranker.inputs.apply(x)), [0])).mean()
    assert found[0] == pytest.approx(moved, rel=0.02)  # the integral has 50 steps
    assert found[1:] == pytest.approx([0, 0], abs=1e-6)


def test_an_input_of_two_features_is_shared_out() -> None:
    weigh = Operation(weigh={"a": 1.0, "b": 1.0})
    ranker = made(values(), hidden=(), cross=0, operations=(weigh,))
    assert ranker.inputs.sources == ((0,), (1,), (2,), (0, 1))
    with torch.no_grad():
        ranker.model.head.weight[:] = torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    a, b, c = gradients(ranker, values())
    assert a == b > 0
    assert c == 0
