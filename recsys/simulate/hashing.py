"""Numbers that are random yet a pure function of their keys, so that any day can be made without the days before it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
F64 = npt.NDArray[np.float64]
Key = int | npt.NDArray[np.int32] | npt.NDArray[np.int64] | npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def scramble(values: npt.ArrayLike) -> U64:
    """SplitMix64's finaliser (Steele, Lea, Flood 2014, fig. 15): a bijection of 64-bit integers."""
    with np.errstate(over="ignore"):
        x = np.asarray(values).astype(np.uint64) + _GOLDEN
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: U64 = x ^ (x >> np.uint64(31))
    return mixed


def mix(*keys: Key) -> U64:
    """One 64-bit hash of several integer keys, broadcast against each other; their order matters."""
    state: U64 = np.zeros((), dtype=np.uint64)
    for key in keys:
        state = scramble(state ^ np.asarray(key).astype(np.uint64))
    return state


def uniform(*keys: Key) -> F64:
    """A number in [0, 1) for each combination of keys."""
    share: F64 = (mix(*keys) >> np.uint64(11)).astype(np.float64) / 2.0**53
    return share
