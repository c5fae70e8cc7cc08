"""Fitted steps beside scikit-learn's own transformers, and what becomes of values that training did not have."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import KBinsDiscretizer, MinMaxScaler, Normalizer, OneHotEncoder, StandardScaler
from sklearn.utils import murmurhash3_32

from recsys.config import Operation
from recsys.features.history import F32
from recsys.ranking.fit import fit_inputs
from recsys.ranking.steps import Block, murmur3

NAMES = ("a", "b", "c")
NAN = float("nan")


def block(x: F32, names: tuple[str, ...] = ("a", "b"), **operation: Any) -> Block:
    """One operation fitted on [N, 3]."""
    kind = {"concatenate": names} if len(names) > 1 else {"feature": names[0]}
    return fit_inputs(x, NAMES, (Operation.model_validate(kind | operation),)).blocks[0]


def numbers(seed: int, rows: int = 400, missing: float = 0.2) -> F32:
    random = np.random.default_rng(seed)
    x = np.exp(random.normal(size=(rows, 3)) * 2).astype(np.float32)
    x[random.random((rows, 3)) < missing] = np.nan
    return x


def small(seed: int, rows: int = 3000) -> F32:
    """Whole numbers of which the larger are rare; a tenth unknown."""
    random = np.random.default_rng(seed)
    x = random.geometric(0.35, (rows, 3)).astype(np.float32) - 1
    x[random.random((rows, 3)) < 0.1] = np.nan
    return x


def column(*values: float) -> F32:
    return np.asarray(values, dtype=np.float32)[:, None] * np.ones((1, 3), dtype=np.float32)


@pytest.mark.parametrize(
    ("step", "oracle"),
    [
        ("standardise", StandardScaler()),
        ("min_max", MinMaxScaler(clip=True)),
        ({"impute": "mean"}, SimpleImputer(strategy="mean")),
        ({"impute": "median"}, SimpleImputer(strategy="median")),
        ({"impute": "most_frequent"}, SimpleImputer(strategy="most_frequent")),
        ({"impute": -3}, SimpleImputer(strategy="constant", fill_value=-3)),
    ],
)
def test_numbers_are_what_scikit_learn_makes_of_them(step: object, oracle: Any) -> None:
    learned, asked = np.log1p(numbers(0).astype(np.float64)), np.log1p(numbers(1).astype(np.float64))
    fitted = oracle.fit(learned[:, :2])
    ours = block(numbers(0), do=["log", step])
    wanted = fitted.transform(asked[:, :2])
    rest = np.nanmean(fitted.transform(learned[:, :2]), axis=0)  # what is unknown until the end becomes the mean
    np.testing.assert_allclose(
        ours.apply(numbers(1))[:, :2], np.where(np.isnan(wanted), rest, wanted), atol=1e-6, rtol=1e-6
    )
    assert ours.indicator == (0, 1)
    np.testing.assert_array_equal(ours.apply(numbers(1))[:, 2:], np.isnan(asked[:, :2]))


def test_rows_of_a_concatenation_have_length_one() -> None:
    x = numbers(0)
    filled = np.nan_to_num(x[:, :2].astype(np.float64), nan=0.5)
    ours = block(x, do=[{"impute": 0.5}, "l2_normalise"])
    np.testing.assert_allclose(ours.apply(x)[:, :2], Normalizer().transform(filled), atol=1e-6)
    zeros = np.zeros((1, 3), dtype=np.float32)
    assert ours.apply(zeros)[:, :2].tolist() == [[0, 0]]


def test_buckets_are_quantiles() -> None:
    x, asked = numbers(0, missing=0), numbers(1, missing=0)
    oracle = KBinsDiscretizer(7, encode="ordinal", quantile_method="averaged_inverted_cdf", subsample=None)
    oracle.fit(x[:, :2].astype(np.float64))
    ours = block(x, do=[{"bucketise": 7}])
    np.testing.assert_array_equal(ours.apply(asked), oracle.transform(asked[:, :2].astype(np.float64)))
    outside = np.asarray([[-1e9, 1e9, 0]], dtype=np.float32)
    assert ours.apply(outside).tolist() == [[0, 6]]  # the outer buckets are open


def test_values_that_are_few_have_a_bucket_each() -> None:
    ours = block(column(0, 0, 0, 0, 0, 0, 0, 1), ("a",), do=[{"bucketise": 8}])
    assert ours.apply(column(0, 1)).tolist() == [[0], [1]]  # the quantiles of a rare flag would not tell them apart


def test_one_hot_is_what_scikit_learn_makes_of_it() -> None:
    learned, asked = small(0), small(1)
    asked[:5, :2] = 1000  # met by nobody: among the others, as there are such
    oracle = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=5, min_frequency=0.001)
    oracle.fit(learned[:, :2].astype(np.float64))
    ours = block(learned, do=[{"one_hot": 5}])
    np.testing.assert_array_equal(ours.apply(asked), oracle.transform(asked[:, :2].astype(np.float64)).toarray())
    assert ours.indicator == ()  # unknown has a column of its own


def test_an_unknown_value_that_training_never_had_is_zeros() -> None:
    ours = block(column(1, 2, 1, 2), ("a",), do=["one_hot"])
    assert ours.apply(column(2, 1, 7, NAN)).tolist() == [[0, 1], [1, 0], [0, 0], [0, 0]]


def test_buckets_with_columns_of_their_own_know_unknown_apart() -> None:
    ours = block(column(1, 2, 3, 4, NAN), ("a",), do=[{"bucketise": 2}, "one_hot"])
    # Quantile 1/2 of 1, 2, 3, 4 is 2.5.
    assert ours.apply(column(-9, 2.4, 2.5, 99, NAN)).tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_murmur3_is_that_of_scikit_learn() -> None:
    keys = np.random.default_rng(0).integers(-(2**62), 2**62, (40, 3))
    keys[0] = np.iinfo(np.int64).min
    for width in (1, 2, 3):
        rows = np.ascontiguousarray(keys[:, :width]).astype("<i8")
        assert murmur3(keys[:, :width]).tolist() == [murmurhash3_32(row.tobytes(), positive=True) for row in rows]


def test_hashes_are_columns_that_training_met() -> None:
    learned, asked = small(0), small(1)
    ours = block(learned, ("a",), do=[{"hash": 8}])

    def bucket(value: float) -> int:
        code = np.iinfo(np.int64).min if np.isnan(value) else int(value)
        return int(murmurhash3_32(np.int64(code).tobytes(), positive=True)) % 8

    found = [bucket(value) for value in learned[:, 0]]
    kept = [number for number in range(8) if found.count(number) > 3]  # more than .001 of 3,000
    assert len(kept) < 8 or len(set(found)) == 8
    wanted = [[float(bucket(value) == number) for number in kept] for value in asked[:, 0]]
    assert ours.apply(asked).tolist() == wanted


def test_a_cross_tells_combinations_apart_that_single_features_do_not() -> None:
    random = np.random.default_rng(0)
    x = random.integers(0, 2, (500, 3)).astype(np.float32)
    cross = Operation(cross=("a", "b"), bins=2, buckets=4096)
    ours = fit_inputs(x, NAMES, (cross,)).blocks[0]
    out = ours.apply(x)
    assert out.shape == (500, 4)  # 2 x 2 combinations
    assert (out.sum(axis=1) == 1).all()
    column_of = out.argmax(axis=1)
    pairs = x[:, 0] * 2 + x[:, 1]
    assert len({(int(c), int(p)) for c, p in zip(column_of, pairs, strict=True)}) == 4
    unseen = np.asarray([[NAN, 1, 0]], dtype=np.float32)
    assert ours.apply(unseen).tolist() == [[0, 0, 0, 0]]


def test_a_weighed_sum_is_unknown_where_a_part_is() -> None:
    x = np.asarray([[1, 2, 0], [3, 4, 0], [NAN, 5, 0]], dtype=np.float32)
    ours = fit_inputs(x, NAMES, (Operation(weigh={"a": 1, "b": 10}),)).blocks[0]
    assert ours.apply(x).tolist() == [[21], [43], [32]]  # the mean of 21 and 43


def test_infinite_values_count_as_unknown() -> None:
    ours = block(column(1, 3, NAN), ("a",), do=["min_max"])
    assert ours.apply(column(np.inf, -np.inf, 2, 99, -99)).tolist() == [[0.5, 1], [0.5, 1], [0.5, 0], [1, 0], [0, 0]]


@pytest.mark.parametrize(
    "do", [["log", "standardise"], ["min_max"], [{"impute": "median"}], [{"bucketise": 4}, "one_hot"]]
)
def test_a_feature_that_is_never_known_and_a_constant_do_no_harm(do: list[Any]) -> None:
    x = np.asarray([[5, NAN, 0]] * 4, dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = block(x, do=do)
    assert np.isfinite(ours.apply(np.asarray([[NAN, 1, 0], [9, NAN, 0]], dtype=np.float32))).all()


values = st.lists(st.tuples(*[st.one_of(st.just(NAN), st.integers(-3, 40).map(float))] * 3), min_size=2, max_size=30)
chains = st.sampled_from(
    [
        ["log", "standardise"],
        [{"impute": "median"}, "min_max"],
        [{"bucketise": 4}],
        [{"bucketise": 3}, "one_hot"],
        ["one_hot"],
        [{"one_hot": 3}],
        [{"hash": 16}],
        [{"impute": "mean"}, "l2_normalise"],
    ]
)


@settings(max_examples=60, deadline=None)
@given(values, values, chains)
def test_any_chain_is_finite_of_one_width_row_by_row_and_equal_after_storing(
    learned: list[Any], asked: list[Any], do: list[Any]
) -> None:
    x, new = np.asarray(learned, dtype=np.float32), np.asarray(asked, dtype=np.float32)
    ours = block(x, do=do)
    out = ours.apply(new)
    assert np.isfinite(out).all()
    assert out.shape[1] == ours.apply(x[:0]).shape[1]
    again = Block.model_validate_json(ours.model_dump_json())
    assert again.apply(new).tobytes() == out.tobytes()
    rows: list[npt.NDArray[np.float32]] = [ours.apply(new[place : place + 1]) for place in range(len(new))]
    np.testing.assert_array_equal(np.concatenate(rows), out)
