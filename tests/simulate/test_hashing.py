import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.simulate.hashing import mix, scramble, uniform

MASK = 2**64 - 1
u64 = st.integers(0, MASK)


def split_mix(value: int) -> int:
    """The published finaliser, in Python's own integers."""
    x = (value + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


@given(st.lists(u64, min_size=1, max_size=5))
def test_scramble_is_the_published_finaliser(values: list[int]) -> None:
    assert scramble(np.asarray(values, dtype=np.uint64)).tolist() == [split_mix(v) for v in values]


@given(u64, st.integers(0, 2**62))
def test_mix_chains_its_keys_in_order(a: int, b: int) -> None:
    assert int(mix(np.asarray(a, dtype=np.uint64), b)) == split_mix(split_mix(a) ^ b)


def test_keys_are_broadcast() -> None:
    table = mix(1, np.arange(3)[:, None], np.arange(4))
    assert table.shape == (3, 4)
    assert table[2, 1] == mix(1, 2, 1)
    assert len(np.unique(mix(1, np.arange(50)[:, None], np.arange(50)))) == 2500  # so (a, b) is not (b, a)


def test_uniform_is_uniform() -> None:
    share = uniform(5, np.arange(100_000))
    assert share.min() >= 0
    assert share.max() < 1
    np.testing.assert_allclose(np.histogram(share, 10, (0, 1))[0], 10_000, atol=400)  # 4 standard deviations
    assert abs(np.corrcoef(share[:-1], share[1:])[0, 1]) < 0.013
