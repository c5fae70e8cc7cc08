"""Merging candidates of several sources. NumPy only, no loop over users.

Shape letters: U users, K places of a source, M candidates of all users.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recsys.candidates.ragged import Ragged
from recsys.features.history import I64
from recsys.features.windows import Bool


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Each user's candidates without repetition, by ascending item; which sources proposed each."""

    items: Ragged  # U rows, M values: item indices
    sources: I64  # [M] bit s is set: source s proposed it
    names: tuple[str, ...]  # source names in bit order

    def label(self, mask: int) -> str:
        """Names of a bit set, joined by '+': 'neighbours+popular'."""
        return "+".join(name for bit, name in enumerate(self.names) if mask >> bit & 1)


def fuse(proposals: Mapping[str, I64], in_stock: Bool, seen: Ragged) -> Candidates:
    """Merge proposals (source name -> item indices [U, K], -1: no item), at most 31 sources.

    Dropped: repetitions, items of `seen` (one row for each user; -1 is ignored) and items out of stock (`in_stock`
    [I]). One sort of (user, item, source) keys does all three: seen items sort before any proposal of the same item.
    """
    items, codes = len(in_stock), len(proposals) + 1
    forbidden = seen.values >= 0
    keys = [(seen.rows[forbidden] * items + seen.values[forbidden]) * codes]
    for source, matrix in enumerate(proposals.values(), start=1):
        user, place = np.nonzero(matrix >= 0)
        keys.append((user * items + matrix[user, place]) * codes + source)
    ordered = np.sort(np.concatenate(keys))
    pair, code = ordered // codes, ordered % codes
    first = np.flatnonzero(np.diff(pair, prepend=-1))
    masks = np.bitwise_or.reduceat(np.left_shift(np.int64(1), code), first) if len(first) else code
    user, item = pair[first] // items, pair[first] % items
    keep = (masks & 1 == 0) & in_stock[item]
    offsets = np.zeros(len(seen.offsets), dtype=np.int64)
    np.cumsum(np.bincount(user[keep], minlength=len(offsets) - 1), out=offsets[1:])
    return Candidates(
        items=Ragged(offsets=offsets, values=item[keep]), sources=masks[keep] >> 1, names=tuple(proposals)
    )
