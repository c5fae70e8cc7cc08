"""Affinity against plain loops over pairs and behaviours."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config import EncoderSettings
from recsys.encoder import affinity as module
from recsys.encoder.affinity import PRIOR, affinity, crowds
from recsys.encoder.sequences import Windows
from recsys.features.history import F32, Points
from tests.encoder.samples import encoder_of, views

TAU = 0.2


def unit(count: int) -> F32:
    vectors = np.random.default_rng(count).normal(size=(count, 4))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def kernel(one: F32, other: F32) -> float:
    return math.exp((float(one @ other) - 1) / TAU)


def test_a_crowd_is_the_mean_kernel_with_all_behaviours(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, occurrences = unit(6), np.asarray([3, 0, 1, 7, 0, 2])
    expected = [
        math.log(sum(n * kernel(a, b) for n, b in zip(occurrences, vectors, strict=True)) / 13) for a in vectors
    ]
    rng = np.random.default_rng(0)
    assert crowds(vectors, occurrences, TAU, rng) == pytest.approx(expected, rel=1e-5)
    monkeypatch.setattr(module, "BLOCK", 5)  # one item at a time
    assert crowds(vectors, occurrences, TAU, rng) == pytest.approx(expected, rel=1e-5)


def test_a_crowd_of_many_items_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, occurrences = unit(400), np.arange(1, 401)
    exact = crowds(vectors, occurrences, TAU, np.random.default_rng(0))
    monkeypatch.setattr(module, "REFERENCE", 399)
    sampled = crowds(vectors, occurrences, TAU, np.random.default_rng(0))
    assert not np.array_equal(sampled, exact)
    assert np.abs(sampled - exact).mean() < 0.15
    np.testing.assert_array_equal(sampled, crowds(vectors, occurrences, TAU, np.random.default_rng(0)))


@settings(max_examples=150)
@given(
    st.lists(st.lists(st.integers(0, 5), max_size=6), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=12),
    st.sampled_from([1, 7, 1 << 20]),
)
def test_equals_plain_loops(histories: list[list[int]], asked: list[tuple[int, int]], block: int) -> None:
    vectors, crowd = unit(5), np.linspace(-2, 0, 5, dtype=np.float32)
    pairs = sorted((point, number) for point, number in asked if point < len(histories))
    ends = np.cumsum([len(history) for history in histories])
    windows = Windows(start=np.append(0, ends[:-1]).astype(np.int64), end=ends.astype(np.int64))
    item = np.asarray([number for history in histories for number in history], dtype=np.int64)
    points, numbers = (np.asarray([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        found = affinity(vectors, crowd, TAU, item, windows, (2, 6), points, numbers.astype(np.int32))
    asked_of = [(newest, *pair) for newest in (2, 6) for pair in pairs]
    for value, (newest, point, number) in zip(found.reshape(-1).tolist(), asked_of, strict=True):
        if not number:
            assert math.isnan(value)
            continue
        known = [other for other in histories[point][-newest:] if other]
        total = sum(kernel(vectors[number - 1], vectors[other - 1]) for other in known)
        expected = math.log((total / math.exp(crowd[number - 1]) + PRIOR) / (len(known) + PRIOR))
        assert value == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_only_the_newest_known_behaviours_of_a_point_count() -> None:
    encoder = encoder_of(EncoderSettings(dim=8, heads=2, length=3), "abcd")
    h = views("abzcd", "ab")
    points = Points(start=np.asarray([0, 1, 5]), end=np.asarray([5, 4, 7]), at=np.asarray([9, 9, 9]))
    ask = (np.asarray([0, 1, 2]), np.asarray([1, 1, 1], dtype=np.int32))
    whole, newest = encoder.affinity(h, points, *ask, (10, 1))
    [by_hand] = encoder.affinity(
        h, Points(start=np.asarray([2, 1, 5]), end=points.end, at=points.at), *ask, (10,)
    )  # the encoder reads three behaviours
    np.testing.assert_allclose(whole, by_hand, rtol=1e-6)
    assert abs(newest[2] - whole[2]) > 0.01
    one = Points(start=np.asarray([0]), end=np.asarray([1]), at=np.asarray([9]))
    [alone] = encoder.affinity(views("b"), one, ask[0][:1], ask[1][:1], (10,))
    assert newest[2] == pytest.approx(alone[0], rel=1e-6)
