import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.candidates.ragged import Ragged, from_padded

LISTS = st.lists(st.lists(st.integers(-1, 9), max_size=5), max_size=6)


def ragged(lists: list[list[int]]) -> Ragged:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in lists])]).astype(np.int64)
    return Ragged(offsets=offsets, values=np.asarray([v for row in lists for v in row], dtype=np.int64))


def lists(r: Ragged) -> list[list[int]]:
    return [r.values[a:b].tolist() for a, b in zip(r.offsets[:-1], r.offsets[1:], strict=True)]


@given(LISTS)
def test_rows_and_without_agree_with_python(values: list[list[int]]) -> None:
    found = ragged(values)
    assert found.rows.tolist() == [i for i, row in enumerate(values) for _ in row]
    assert lists(found.without(-1)) == [[v for v in row if v != -1] for row in values]


@given(LISTS, st.integers(0, 7))
def test_padded_cuts_and_fills(values: list[list[int]], width: int) -> None:
    expected = [(row + [-7] * width)[:width] for row in values]
    assert ragged(values).padded(width, fill=-7).tolist() == expected


@given(LISTS)
def test_from_padded_reverses_padded(values: list[list[int]]) -> None:
    clean = [[v for v in row if v >= 0] for row in values]
    assert lists(from_padded(ragged(clean).padded())) == clean


def test_slice_keeps_rows() -> None:
    assert lists(ragged([[1], [2, 3], [], [4]]).slice(1, 3)) == [[2, 3], []]


def test_rows_are_taken_in_the_order_asked() -> None:
    lists = Ragged(offsets=np.asarray([0, 2, 2, 5]), values=np.asarray([7, 8, 1, 2, 3]))
    taken = lists.take(np.asarray([2, 1, 0, 2]))
    assert taken.offsets.tolist() == [0, 3, 3, 5, 8]
    assert taken.values.tolist() == [1, 2, 3, 7, 8, 1, 2, 3]
    assert lists.take(np.asarray([], dtype=np.int64)).offsets.tolist() == [0]
