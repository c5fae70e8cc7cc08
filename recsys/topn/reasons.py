"""A short reason for each recommendation, true of the data that made it. NumPy and Arrow.

Shape letters: B users, E behaviours, N recommendations of the longest list, R of all users, L behaviours looked at,
D width.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from recsys.candidates.popularity import WINDOWS
from recsys.candidates.ragged import Ragged
from recsys.features.history import I64, Histories
from recsys.features.windows import Bool
from recsys.topn.index import ItemIndex

NEWEST = 50  # behaviours of a user that may be named
TEMPLATES = {
    "view": "because you viewed {}",
    "click": "because you clicked {}",
    "cart": "because you put {} in the cart",
    "purchase": "because you bought {}",
    "rating": "because you rated {}",
}
CLOSE = "close to your recent behaviour"
POPULAR = (*(f"popular in the {label}" for _, label in WINDOWS), "in the catalogue")


def reasons(
    h: Histories, seen: I64, items: Ragged, near: Bool, index: ItemIndex, behaviours: tuple[str, ...]
) -> pa.StringArray:
    """[R] one clause for each recommendation.

    `seen` [E] is the snapshot row of each behaviour's item (-1: none), `items` the recommended rows, `near` [R] whether
    embedding neighbours proposed the item. Then the clause names the behaviour, among the user's newest NEWEST, whose
    item is nearest by cosine (equal: the newest). An item that only popularity proposed says in which window it is
    popular.
    """
    snapshot = index.snapshot
    nearest = _nearest(h, seen, items, index)  # [R]
    texts = [*POPULAR, CLOSE]
    codes = index.popular_in[items.values]
    codes[near] = len(POPULAR)
    named = near & (nearest >= 0)
    pairs = h.behaviour[nearest[named]].astype(np.int64) * len(snapshot.items) + seen[nearest[named]]
    unique, inverse = np.unique(pairs, return_inverse=True)
    codes[named] = len(texts) + inverse
    for pair in unique:
        code, row = divmod(int(pair), len(snapshot.items))
        texts.append(
            _because(behaviours[code] if code >= 0 else "behaviour", snapshot.title[row] or snapshot.items[row])
        )
    return pa.array([texts[code] for code in codes.tolist()], pa.string())


def _because(behaviour: str, title: str) -> str:
    return TEMPLATES.get(behaviour, f"because of your {behaviour} of {{}}").format(title)


def _nearest(h: Histories, seen: I64, items: Ragged, index: ItemIndex) -> I64:
    """[R] behaviour of the same user whose item is nearest; -1: the user has none with a vector."""
    wanted = items.padded()  # [B, N]
    places = h.offsets[1:, None] - 1 - np.arange(NEWEST)  # [B, L] newest first, so that equal cosines name the newest
    inside = places >= h.offsets[:-1, None]
    rows = np.where(inside, np.append(seen, -1)[np.where(inside, places, -1)], -1)
    usable: Bool = (rows >= 0) & index.known[rows]
    cosine = np.matmul(index.vectors[wanted], index.vectors[rows].transpose(0, 2, 1))  # [B, N, L]
    best = np.where(usable[:, None, :], cosine, -np.inf).argmax(axis=2)  # [B, N]
    some = usable.any(axis=1, keepdims=True)
    found = np.where(some, np.take_along_axis(places, best, axis=1), -1)
    return found[wanted >= 0]
