"""Items that nobody has met yet: what the catalogue says of them, mapped to where items like them lie.

Source: mapping attributes to factors by ridge regression, Gantner et al. 2010, section 4.

Shape letters: I items of the catalogue, W hashed words, V items with vectors, G guessed items, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.feature_extraction import FeatureHasher
from sklearn.linear_model import Ridge
from sklearn.preprocessing import normalize

from recsys.encoder.vocabulary import Vocabulary
from recsys.features.history import F32, I64, MISSING
from recsys.features.windows import Bool

WORDS = 1 << 15  # columns that words are hashed to
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0)  # tried on every TENTH known item
TENTH = 10
LEVELS = 5  # price levels within a category
FEWEST = 50  # items with vectors, fewer say nothing


@dataclass(frozen=True, kw_only=True)
class Content:
    """The catalogue at one moment, distinct items."""

    items: tuple[str, ...]
    title: tuple[str | None, ...]
    category: tuple[str | None, ...]  # path, `a|b`
    price: I64  # [I] minor units; MISSING: unknown


@dataclass(frozen=True, kw_only=True)
class Guessed:
    """G items outside a vocabulary, with vectors to start from."""

    items: tuple[str, ...]
    vectors: F32  # [G, D] unit length


def guess(content: Content, vocabulary: Vocabulary, vectors: F32, rng: np.random.Generator) -> Guessed:
    """Vectors for the items of `content` that the vocabulary lacks, from those [V, D], of unit length, that it has.

    The regression gives the mean of what an item with such words is like, shorter the less the words say. The rest of
    the unit length points in a random direction: cosines with users are then right on average. A mean stretched to
    unit length instead would be nearer to its category's users than any item in it. Items that share no word with
    known ones are left out, and so are all where fewer than FEWEST are known.
    """
    nothing = Guessed(items=(), vectors=np.zeros((0, vectors.shape[1]), dtype=np.float32))
    if not content.items:  # scikit-learn hashes no empty list
        return nothing
    number = vocabulary.index(content.items).astype(np.int64) - 1  # [I]
    words = shared_words(hashed(content), number >= 0)
    some = np.diff(words.indptr) > 0  # [I]
    known, fresh = np.flatnonzero((number >= 0) & some), np.flatnonzero((number < 0) & some)
    if len(known) < FEWEST or not len(fresh):
        return nothing
    mean = regression(words[known], vectors[number[known]]).predict(words[fresh]).astype(np.float32)  # [G, D]
    length = np.linalg.norm(mean, axis=1, keepdims=True)
    mean = mean / np.maximum(length, 1.0)
    noise = rng.standard_normal(mean.shape).astype(np.float32)
    noise -= mean * (noise * mean).sum(1, keepdims=True) / np.maximum((mean * mean).sum(1, keepdims=True), 1e-12)
    rest = np.sqrt(np.maximum(1 - np.minimum(length, 1.0) ** 2, 0.0))
    filled = normalize(mean + rest * normalize(noise)).astype(np.float32)
    return Guessed(items=tuple(content.items[row] for row in fresh), vectors=filled)


def regression(words: csr_matrix, vectors: F32) -> Ridge:
    """The ridge regression of vectors [V, D] on words [V, W] whose penalty errs least on items left out."""
    out = np.arange(len(vectors)) % TENTH == 0

    def error(penalty: float) -> float:
        tried = Ridge(penalty, solver="sparse_cg").fit(words[~out], vectors[~out])
        return float(np.square(tried.predict(words[out]) - vectors[out]).mean())

    return Ridge(min(PENALTIES, key=error), solver="sparse_cg").fit(words, vectors)


def aligned(guessed: Guessed | None, ids: Sequence[str], dim: int) -> torch.Tensor:
    """[len(ids), D] the guessed vector of each id, zeros where there is none."""
    found = guessed or Guessed(items=(), vectors=np.zeros((0, dim), dtype=np.float32))
    padded = np.concatenate([np.zeros((1, dim), dtype=np.float32), found.vectors])
    return torch.from_numpy(padded[Vocabulary(found.items).index(ids)])


def shared_words(words: csr_matrix, known: Bool) -> csr_matrix:
    """[I, W'] rows of unit length with the words that several known items have: one's own word explains it alone."""
    several = np.asarray((words[known] > 0).sum(axis=0)).ravel() > 1
    return normalize(words[:, several])


def hashed(content: Content) -> csr_matrix:
    """[I, W] the title's words, each level of the category, and the price's level within it."""
    levels = price_levels(content)
    rows = [
        words_of(title, category, level)
        for title, category, level in zip(content.title, content.category, levels.tolist(), strict=True)
    ]
    hasher = FeatureHasher(WORDS, input_type="string", alternate_sign=False, dtype=np.float32)
    return hasher.transform(rows)


def words_of(title: str | None, category: str | None, level: int) -> list[str]:
    """Title words, category levels, and each of the deepest category and all items with the price's level."""
    path = list(accumulate((category or "").split("|"), "{}|{}".format)) if category else []
    words = [f"title {word}" for word in sorted(set((title or "").casefold().split()))]
    words += [f"category {name}" for name in path]
    if level != MISSING:
        words.append(f"price {path[-1] if path else ''} {level}")
    return words


def price_levels(content: Content) -> I64:
    """[I] 0 ... LEVELS - 1, the share of its category's prices below an item's; MISSING without a price."""
    out = np.full(len(content.items), MISSING, dtype=np.int64)
    names, code = np.unique([category or "" for category in content.category], return_inverse=True)
    for group in range(len(names)):
        rows = np.flatnonzero((code == group) & (content.price != MISSING))
        if len(rows):
            below = np.searchsorted(np.sort(content.price[rows]), content.price[rows])
            out[rows] = below * LEVELS // len(rows)
    return out
