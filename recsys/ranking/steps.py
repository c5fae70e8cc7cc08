"""Fitted operations as plain data, and the one way to apply them. NumPy only.

Every step takes columns and gives columns. NaN is unknown: each step says what becomes of it.

Shape letters: N examples, J columns before a step, K columns after it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from recsys.config import Section
from recsys.features.history import F32, F64, I64
from recsys.ranking.standardise import LIMIT, signed_log1p

U32 = npt.NDArray[np.uint32]
UNKNOWN = np.iinfo(np.int64).min  # the code of NaN in hashes
Row = tuple[float, ...]  # [J] a parameter of each column


class Log(Section):
    """sign(x) ln(1 + |x|). Unknown stays unknown."""

    do: Literal["log"] = "log"

    def apply(self, x: F64) -> F64:
        """[N, J] -> [N, J]."""
        return signed_log1p(x)


class Impute(Section):
    """Unknown becomes a value of the column."""

    do: Literal["impute"] = "impute"
    fill: Row

    def apply(self, x: F64) -> F64:
        """[N, J] -> [N, J]."""
        return np.where(np.isnan(x), np.asarray(self.fill), x)


class Standardise(Section):
    """(x - mean) / scale, within LIMIT. Unknown stays unknown."""

    do: Literal["standardise"] = "standardise"
    mean: Row
    scale: Row

    def apply(self, x: F64) -> F64:
        """[N, J] -> [N, J]."""
        scaled: F64 = np.clip((x - np.asarray(self.mean)) / np.asarray(self.scale), -LIMIT, LIMIT)
        return scaled


class MinMax(Section):
    """(x - low) / span, within [0, 1]: a value out of the range of training becomes its nearest end."""

    do: Literal["min_max"] = "min_max"
    low: Row
    span: Row

    def apply(self, x: F64) -> F64:
        """[N, J] -> [N, J]. Unknown stays unknown."""
        scaled: F64 = np.clip((x - np.asarray(self.low)) / np.asarray(self.span), 0, 1)
        return scaled


class L2Normalise(Section):
    """Each row to length 1; a row of zeros stays. Unknown was imputed before."""

    do: Literal["l2_normalise"] = "l2_normalise"

    def apply(self, x: F64) -> F64:
        """[N, J] -> [N, J]."""
        length = np.sqrt((x**2).sum(axis=1, keepdims=True))
        return x / np.where(length > 0, length, 1)


class Bucketise(Section):
    """The number of inner edges at or below the value, from 0: the outer buckets are open. Unknown stays unknown."""

    do: Literal["bucketise"] = "bucketise"
    edges: tuple[Row, ...]  # J times the inner edges, ascending

    def apply(self, x: F64) -> F64:
        """[N, J] -> [N, J] whole numbers."""
        pairs = zip(self.edges, x.T, strict=True)
        codes = np.stack([np.searchsorted(np.asarray(edges), column, side="right") for edges, column in pairs], axis=1)
        return np.where(np.isnan(x), np.nan, codes)


class OneHot(Section):
    """A column for each kept value, one for unknown where training had it, one for all other values that it had.

    A value that training did not have is among the others, or nothing but zeros where there is no such column.
    """

    do: Literal["one_hot"] = "one_hot"
    categories: tuple[Row, ...]
    unknown: tuple[bool, ...]
    other: tuple[bool, ...]

    def apply(self, x: F64) -> F64:
        """[N, J] -> [N, K]: of each column its values in ascending order, unknown, others."""
        parts = []
        for values, unknown, other, column in zip(self.categories, self.unknown, self.other, x.T, strict=True):
            hot = column[:, None] == np.asarray(values)
            if unknown:
                hot = np.concatenate([hot, np.isnan(column)[:, None]], axis=1)
            if other:
                hot = np.concatenate([hot, ~hot.any(axis=1, keepdims=True)], axis=1)
            parts.append(hot)
        return np.concatenate(parts, axis=1).astype(np.float64)


class Hash(Section):
    """A column for each kept bucket, murmur3(value) modulo `buckets`. Unknown is a value like others.

    `kept` are the buckets that training has met often enough; what falls into another one is nothing but zeros.
    `joint`: all columns of a row are one value, else each has its own buckets.
    """

    do: Literal["hash"] = "hash"
    buckets: int = Field(ge=1)
    joint: bool
    kept: tuple[tuple[int, ...], ...]  # J times, or once if joint

    def bucket(self, x: F64) -> I64:
        """[N, J], or [N, 1] if joint: the bucket of each value."""
        codes = np.where(np.isnan(x), UNKNOWN, x).astype(np.int64)
        keys = [codes] if self.joint else [codes[:, column, None] for column in range(codes.shape[1])]
        return np.stack([murmur3(key).astype(np.int64) % self.buckets for key in keys], axis=1)

    def apply(self, x: F64) -> F64:
        """[N, J] whole numbers -> [N, K]."""
        pairs = zip(self.bucket(x).T, self.kept, strict=True)
        hot = [column[:, None] == np.asarray(kept, dtype=np.int64) for column, kept in pairs]
        return np.concatenate(hot, axis=1).astype(np.float64)


class Weigh(Section):
    """The sum of the columns times their weights; unknown where one of them is."""

    do: Literal["weigh"] = "weigh"
    weights: Row

    def apply(self, x: F64) -> F64:
        """[N, J] -> [N, 1]."""
        total: F64 = (x * np.asarray(self.weights)).sum(axis=1, keepdims=True)
        return total


Fitted = Annotated[
    Log | Impute | Standardise | MinMax | L2Normalise | Bucketise | OneHot | Hash | Weigh, Field(discriminator="do")
]


class Block(Section):
    """Some of the features and the steps that make inputs of them."""

    columns: tuple[int, ...]  # J of the F features
    indicator: tuple[int, ...]  # of `columns`, those whose being unknown is an input of its own
    steps: tuple[Fitted, ...]

    def apply(self, x: F32) -> F32:
        """[N, F] plain values -> [N, K], the indicators last. An infinite value counts as unknown."""
        values = known(x[:, self.columns])
        missing = np.isnan(values[:, self.indicator])
        for step in self.steps:
            values = step.apply(values)
        return np.concatenate([values, missing], axis=1).astype(np.float32)


def known(x: F32) -> F64:
    """The values in double precision, NaN for what is not finite."""
    wide = x.astype(np.float64)
    return np.where(np.isfinite(wide), wide, np.nan)


def murmur3(keys: I64) -> U32:
    """[N] MurmurHash3 (x86, 32 bits, seed 0) of each row of `keys` [N, J] as 8 J little-endian bytes."""
    blocks = np.ascontiguousarray(keys, dtype="<i8").view("<u4").astype(np.uint32)  # [N, 2 J]
    h = np.zeros(len(blocks), dtype=np.uint32)
    for block in blocks.T:
        h ^= _turn(block * np.uint32(0xCC9E2D51), 15) * np.uint32(0x1B873593)
        h = _turn(h, 13) * np.uint32(5) + np.uint32(0xE6546B64)
    h ^= np.uint32(4 * blocks.shape[1])
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = (h ^ (h >> np.uint32(shift))) * np.uint32(factor)
    mixed: U32 = h ^ (h >> np.uint32(16))
    return mixed


def _turn(x: U32, by: int) -> U32:
    turned: U32 = (x << np.uint32(by)) | (x >> np.uint32(32 - by))
    return turned
