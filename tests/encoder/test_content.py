import numpy as np
import pytest
import torch

from recsys.encoder.content import FEWEST, Content, aligned, guess, hashed, price_levels, words_of
from recsys.encoder.vocabulary import Vocabulary
from recsys.features.history import F32, MISSING

DIM = 16


def content_of(*rows: tuple[str, str | None, str | None, int]) -> Content:
    ids, titles, categories, prices = zip(*rows, strict=True)
    return Content(items=ids, title=titles, category=categories, price=np.asarray(prices, dtype=np.int64))


def shop(size: int, seed: int = 0) -> tuple[Content, F32, list[int]]:
    """Items of four categories, each around its category's direction."""
    rng = np.random.default_rng(seed)
    centre = np.eye(4, DIM, dtype=np.float32)
    group = rng.integers(0, 4, size).tolist()
    vectors = centre[group] + 0.2 * rng.standard_normal((size, DIM)).astype(np.float32)
    rows = [(f"i{n:03}", f"thing {n}", f"all|c{g}", 100 + n) for n, g in enumerate(group)]
    return content_of(*rows), vectors / np.linalg.norm(vectors, axis=1, keepdims=True), group


def test_a_new_item_lies_where_its_category_does() -> None:
    content, vectors, group = shop(400)
    known = Vocabulary(content.items[:300])
    found = guess(content, known, vectors[:300], np.random.default_rng(1))
    assert found.items == content.items[300:]
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)
    right = found.vectors[:, :4].argmax(axis=1) == group[300:]
    assert right.mean() > 0.9  # chance: 1 of 4
    # As far from its category's middle as the known ones are, not nearer: it would be in front of all of them.
    mine = np.take_along_axis(found.vectors, np.asarray(group[300:])[:, None], axis=1).mean()
    theirs = np.take_along_axis(vectors[:300], np.asarray(group[:300])[:, None], axis=1).mean()
    assert mine == pytest.approx(theirs, abs=0.08)
    again = guess(content, known, vectors[:300], np.random.default_rng(1))
    np.testing.assert_array_equal(again.vectors, found.vectors)


def test_what_shares_no_word_with_a_known_item_is_left_out() -> None:
    content, vectors, _ = shop(100)
    strange = content_of(
        *zip(content.items, content.title, content.category, content.price.tolist(), strict=True),
        ("x", "thing", None, MISSING),
        ("y", "unheard of", "nowhere", MISSING),
        ("z", None, None, MISSING),
    )
    found = guess(strange, Vocabulary(content.items), vectors, np.random.default_rng(0))
    assert found.items == ("x",)


def test_too_few_known_items_say_nothing() -> None:
    content, vectors, _ = shop(FEWEST + 10)
    few = guess(content, Vocabulary(content.items[: FEWEST - 1]), vectors[: FEWEST - 1], np.random.default_rng(0))
    assert (few.items, few.vectors.shape) == ((), (0, DIM))


def test_a_catalogue_that_says_nothing_of_any_item_guesses_none() -> None:
    _, vectors, _ = shop(100)
    nothing = Content(items=(), title=(), category=(), price=np.zeros(0, dtype=np.int64))
    found = guess(nothing, Vocabulary(tuple(f"i{n:03}" for n in range(100))), vectors, np.random.default_rng(0))
    assert (found.items, found.vectors.shape) == ((), (0, DIM))


def test_vectors_are_found_by_id() -> None:
    content, vectors, _ = shop(100)
    found = guess(content, Vocabulary(content.items[:90]), vectors[:90], np.random.default_rng(0))
    rows = aligned(found, ("i095", "unknown", "i090"), DIM)
    np.testing.assert_array_equal(rows.numpy(), [found.vectors[5], np.zeros(DIM), found.vectors[0]])
    assert torch.equal(aligned(None, ("a", "b"), DIM), torch.zeros(2, DIM))
    assert aligned(None, (), DIM).shape == (0, DIM)


def test_words_by_hand() -> None:
    assert words_of("Red SHOE red", "a|b", 3) == [
        "title red", "title shoe", "category a", "category a|b", "price a|b 3",
    ]  # fmt: skip
    assert words_of(None, None, 0) == ["price  0"]
    assert words_of("", "", MISSING) == []
    assert hashed(content_of(("i", None, None, MISSING), ("j", "a b", None, MISSING))).sum() == 2


def test_price_levels_are_shares_within_a_category() -> None:
    rows: list[tuple[str, str | None, str | None, int]]
    rows = [("a", None, "c", 10), ("b", None, "c", 20), ("c", None, "c", 30), ("d", None, "c", 30)]
    rows += [("e", None, "d", 5), ("f", None, None, 7), ("g", None, "c", MISSING)]
    # c: below 10 lies nothing, below 20 one of 4, below 30 two of 4; alone in a category: the lowest level
    assert price_levels(content_of(*rows)).tolist() == [0, 1, 2, 2, 0, 0, MISSING]
