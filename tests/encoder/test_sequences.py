import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recsys.encoder.sequences import (
    FIRST,
    GAPS,
    Tokens,
    Windows,
    by_length,
    chunks,
    collate,
    fresh,
    last_windows,
    next_fresh,
    ragged,
    tokens,
)  # fmt: skip
from recsys.encoder.vocabulary import Vocabulary
from recsys.features.history import I64
from tests.encoder.samples import histories

stretches = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 15)), max_size=6)
users = st.lists(st.lists(st.integers(0, 4), max_size=8), min_size=1, max_size=5)


def ints(values: list[int]) -> I64:
    return np.asarray(values, dtype=np.int64)


def spans(found: Windows) -> list[tuple[int, int]]:
    return list(zip(found.start.tolist(), found.end.tolist(), strict=True))


def test_tokens_by_hand() -> None:
    h = histories([[("b", 1, 0), (None, 0, 1), ("x", 2, 4), ("a", -1, 4), ("a", 3, 3)], [("b", 0, 10**9)]])
    t = tokens(h, Vocabulary(("a", "b")), behaviours=3)
    assert t.item.tolist() == [2, 0, 0, 1, 1, 2]
    assert t.behaviour.tolist() == [2, 1, 3, 0, 0, 1]  # missing, and a type that the model does not know
    # 1 + log2(1 + gap): 0 s, 1 s, 3 s, 0 s, out of order
    assert t.gap[:5].tolist() == [1, 2, 3, 1, 1]
    assert 1 <= t.gap[5] < GAPS


@given(st.integers(0, 2**61))
def test_gaps_fall_into_buckets_by_powers_of_two(micros: int) -> None:
    h = histories([[("a", 0, 0), ("a", 0, 0)]])
    h.time[1] = micros
    bucket = int(tokens(h, Vocabulary(("a",)), 1).gap[1])
    if bucket < GAPS - 1:
        assert 2 ** (bucket - 1) * (1 - 1e-9) <= 1 + micros / 1e6 < 2**bucket * (1 + 1e-9)
    else:
        assert 1 + micros / 1e6 >= 2 ** (GAPS - 2)


@given(stretches)
def test_ragged_lists_every_position(parts: list[tuple[int, int]]) -> None:
    found = ragged(ints([start for start, _ in parts]), ints([length for _, length in parts]))
    assert found.tolist() == [start + n for start, length in parts for n in range(length)]


@given(stretches, st.integers(1, 7), st.integers(1, 4))
def test_windows_are_cut_from_the_newest_end(parts: list[tuple[int, int]], length: int, most: int) -> None:
    start, end = ints([s for s, _ in parts]), ints([s + n for s, n in parts])
    wanted = []
    for low, size in parts:
        high, cut = low + size, 0
        while high > low and cut < most:
            wanted.append((max(low, high - length), high))
            high, cut = max(low, high - length), cut + 1
    found = chunks(start, end, length, most)
    assert spans(found) == wanted
    assert found.lengths.tolist() == [b - a for a, b in wanted]
    assert spans(last_windows(start, end, length)) == [(max(s, s + n - length), s + n) for s, n in parts]


@given(users)
def test_fresh_and_next_fresh_are_those_of_a_reader_with_a_memory(rows: list[list[int]]) -> None:
    item, offsets = ints([i for row in rows for i in row]), np.cumsum([0, *map(len, rows)])
    wanted, following = [], []
    for row, first in zip(rows, offsets.tolist(), strict=False):
        new = [i if i and i not in row[:place] else 0 for place, i in enumerate(row)]
        wanted += new
        for place in range(len(row)):
            later = [first + p for p in range(place + 1, len(row)) if new[p]]
            following.append(later[0] if later else -1)
    user = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    assert fresh(item, user).tolist() == wanted
    assert next_fresh(item, offsets).tolist() == following


@given(st.lists(st.integers(1, 9), max_size=30), st.integers(1, 7), st.integers(0, 5))
def test_batches_are_a_partition_in_stretches_of_length(lengths: list[int], batch: int, seed: int) -> None:
    end = np.cumsum(ints(lengths))
    w = Windows(start=end - ints(lengths), end=end)
    found = [rows.tolist() for rows in by_length(w, batch, np.random.default_rng(seed))]
    assert sorted(row for rows in found for row in rows) == list(range(len(lengths)))
    assert sum(len(rows) < batch for rows in found) <= 1
    ordered = sorted(found, key=lambda rows: (lengths[rows[0]], lengths[rows[-1]]))
    assert [lengths[row] for rows in ordered for row in rows] == sorted(lengths)


def test_batches_are_shuffled() -> None:
    w = Windows(start=np.zeros(100, dtype=np.int64), end=np.full(100, 3, dtype=np.int64))
    one, two = ([r.tolist() for r in by_length(w, 10, np.random.default_rng(seed))] for seed in (0, 1))
    assert one != two
    assert one[0] != sorted(one[0])


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_collate_gives_each_token_its_place(lengths: list[int]) -> None:
    size = sum(lengths) + 3
    count = np.arange(size)
    t = Tokens(
        item=count, behaviour=count % 3, gap=count + 1, ahead=count + 2, time=count * 10**6, value=np.zeros(size)
    )
    end = np.cumsum(ints(lengths)) + 3
    w = Windows(start=end - ints(lengths), end=end)
    flat = ragged(w.start, w.lengths)
    batch = collate(t, w, flat, t.item[flat] + 100)
    assert batch.item.tolist() == [p + 100 for p in flat]
    assert batch.behaviour.tolist() == [p % 3 for p in flat]
    assert batch.gap.tolist() == [FIRST if p in w.start else p + 1 for p in flat]
    assert batch.ahead.tolist() == [p + 2 for p in flat]
    asked = collate(t, w, flat, t.item, at=t.time[w.end - 1] + 6 * 10**6)
    assert asked.ahead.tolist() == [3 if p + 1 in w.end else p + 2 for p in flat]  # 1 + floor(log2(1 + 6))
    assert batch.back.tolist() == [length - 1 - n for length in lengths for n in range(length)]
    assert (batch.lengths.tolist(), batch.longest) == (lengths, max(lengths))
    slots = [row * max(lengths) + n for row, length in enumerate(lengths) for n in range(length)]
    if len(set(lengths)) == 1:
        assert batch.slots is None
    else:
        assert batch.slots is not None
        assert batch.slots.tolist() == slots
    assert t.gap.tolist() == list(range(1, size + 1))  # the tokens themselves are left alone


@pytest.mark.parametrize("lengths", [[2, 2], [1, 3]])
def test_a_batch_moves_whole(lengths: list[int]) -> None:
    size = sum(lengths)
    count = np.arange(size)
    t = Tokens(item=count, behaviour=count, gap=count, ahead=count, time=count, value=np.zeros(size))
    end = np.cumsum(ints(lengths))
    w = Windows(start=end - ints(lengths), end=end)
    moved = collate(t, w, np.arange(size), t.item).to(torch.device("meta"))
    tensors = [moved.item, moved.behaviour, moved.gap, moved.back, moved.lengths]
    tensors += [] if moved.slots is None else [moved.slots]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert moved.longest == max(lengths)
