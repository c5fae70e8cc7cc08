from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.monitor.baselines import newest_before, popular_before

CELLS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 4), st.integers(1, 3)), max_size=30)


@given(CELLS, st.lists(st.integers(0, 25), max_size=6), st.integers(1, 10), st.integers(1, 6))
def test_equals_a_count_over_each_window(
    cells: list[tuple[int, int, int]], moments: list[int], window: int, m: int
) -> None:
    ordered = np.asarray(sorted(cells), dtype=np.int64).reshape(-1, 3)
    asked = np.asarray(sorted(moments), dtype=np.int64)
    found = list(popular_before(ordered[:, 0], ordered[:, 1], ordered[:, 2], asked, window, m))
    for moment, row in zip(sorted(moments), found, strict=True):
        counts: Counter[int] = Counter()
        for time, item, count in cells:
            counts[item] += count * (moment - window <= time < moment)
        expected = sorted((i for i in counts if counts[i]), key=lambda i: (-counts[i], i))[:m]
        assert row.tolist() == expected


def test_newest_before_is_closed() -> None:
    assert newest_before(np.asarray([10, 20]), np.asarray([9, 10, 19, 20, 99])).tolist() == [-1, 0, 0, 1, 1]
