"""Words from which titles, categories and searches are made, so that each can be told from the others."""

from __future__ import annotations

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from recsys.simulate.words import BRANDS, CATALOGUE, STYLES

KINDS = [(room, kind, nouns) for room, kinds in CATALOGUE.items() for kind, nouns in kinds.items()]
NOUNS = [noun for _, _, nouns in KINDS for noun in nouns]
STYLE_WORDS = list(chain.from_iterable(chain.from_iterable(STYLES)))
PLACES = st.tuples(st.sampled_from(KINDS), st.integers(0, 3))


@given(PLACES, st.sampled_from(STYLES), st.integers(0, 2), st.integers(0, 2), st.sampled_from(BRANDS))
def test_a_title_tells_its_style_its_kind_and_its_brand(
    place: tuple[tuple[str, str, tuple[str, ...]], int],
    style: tuple[tuple[str, ...], tuple[str, ...]],
    adjective: int,
    material: int,
    brand: str,
) -> None:
    (room, kind, nouns), noun = place
    title = " ".join((style[0][adjective], style[1][material], nouns[noun], brand))
    first, second, *middle, last = title.split(" ")
    assert [s for s in STYLES if first in s[0]] == [style]
    assert [s for s in STYLES if second in s[1]] == [style]
    assert [(r, k) for r, k, n in KINDS if " ".join(middle) in n] == [(room, kind)]
    assert last == brand


def test_no_two_words_of_a_sort_are_the_same() -> None:
    assert (len(CATALOGUE), len(KINDS), len(NOUNS)) == (10, 10 * 4, 10 * 4 * 4)
    assert (len(STYLES), len(STYLE_WORDS)) == (12, 12 * (3 + 3))
    assert len({kind for _, kind, _ in KINDS} | set(CATALOGUE)) == 40 + 10  # no kind is named like a room
    assert len(set(NOUNS)) == len(NOUNS)
    assert len({word.lower() for word in [*STYLE_WORDS, *BRANDS]}) == 72 + 48  # no brand is a style's word


def test_brands_are_every_beginning_with_every_ending() -> None:
    assert len(BRANDS) == 8 * 6
    assert BRANDS[:7] == ("Halden", "Halvik", "Halmora", "Halton", "Haluna", "Halberg", "Marden")
    assert BRANDS[-1] == "Kesberg"


def test_words_are_plain_ascii_with_single_spaces_and_no_mark_that_joins_categories() -> None:
    allowed = set("abcdefghijklmnopqrstuvwxyz -")  # `|` stands between a room and its kind
    words = [*CATALOGUE, *(kind for _, kind, _ in KINDS), *NOUNS]
    assert {word for word in words if not set(word) <= allowed} == set()
    assert {word for word in words if word != " ".join(word.split())} == set()
    capitals = [*STYLE_WORDS, *BRANDS]
    assert {word for word in capitals if not (word.isascii() and word.isalpha() and word.istitle())} == set()
