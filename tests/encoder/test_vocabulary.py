import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.encoder.vocabulary import Vocabulary
from recsys.errors import BundleError

ids = st.lists(st.text("abcü", max_size=2), max_size=8)


@given(ids, ids, ids)
def test_it_grows_at_its_end_and_numbers_from_one(first: list[str], more: list[str], asked: list[str]) -> None:
    known: list[str] = []
    for item in [*first, *more]:
        if item not in known:
            known.append(item)
    grown = Vocabulary(()).grow(first).grow(more)
    assert grown.items == tuple(known)
    assert len(grown) == len(known)
    assert grown.index(asked).tolist() == [known.index(item) + 1 if item in known else 0 for item in asked]
    before = Vocabulary(()).grow(first)
    assert grown.index(first).tolist() == before.index(first).tolist()


def test_nothing_new_is_the_same_vocabulary() -> None:
    known = Vocabulary(("a", "b"))
    assert known.grow(["b", "a", "b"]) is known


def test_an_id_that_occurs_twice_is_refused() -> None:
    with pytest.raises(BundleError, match="holds 2 ids more than once"):
        Vocabulary(("a", "b", "a", "a"))
