"""The ranker's input: user, item, request and pair features of (point, item) pairs, one row each. NumPy only.

Shape letters: E behaviours, P points, M pairs, C items of the history's dictionary, Fi item features, F all features.
"""

from __future__ import annotations

import numpy as np

from recsys.config import FeatureSettings
from recsys.days import SECOND
from recsys.features.definitions import ITEM_FEATURES, LAST, PAIR_FEATURES, names
from recsys.features.embedded import Embedded
from recsys.features.history import F32, F64, I32, I64, Histories, Points
from recsys.features.user import ratio, user_features
from recsys.features.windows import Bool, by_code, known

ITEM_PRICE = names(ITEM_FEATURES).index("item_price_minor")


def pair_matrix(
    h: Histories,
    p: Points,
    behaviours: tuple[str, ...],
    s: FeatureSettings,
    pair_point: I64,
    pair_item: I32,
    item_rows: F32,
    embedded: Embedded,
    ahead: Bool,
    categories: I32 | None = None,
    pair_category: I32 | None = None,
) -> F32:
    """[M, F] features, NaN where unknown; columns as `definitions.feature_names`.

    `pair_point` [M] indexes the points, `pair_item` [M] the dictionary `h.items` (-1: an item nobody here touched),
    `item_rows` [M, Fi] are the items' features in the order of ITEM_FEATURES, `embedded` has what the encoder says.
    `ahead` [P] tells which points' lists are made ahead.
    `categories` [C] gives the category code of each dictionary item and `pair_category` [M] of each pair (-1: unknown);
    without both the features of the pair's category are unknown. Values are plain: scaling belongs to the ranker.
    """
    seen = known(h, p)
    users = user_features(h, seen, behaviours, s)
    block = np.stack([values.astype(np.float32) for values in users.values()], axis=1)
    low, high, rows = _matches(h, seen, h.item, pair_point, pair_item)
    purchase = np.zeros(len(rows) + 1, dtype=np.int64)
    code = behaviours.index("purchase") if "purchase" in behaviours else len(behaviours)
    np.cumsum(h.behaviour[rows] == code, out=purchase[1:])
    found = high > low
    newest = rows[high - 1] if len(rows) else np.zeros(len(low), dtype=np.int64)
    age = (seen.at[pair_point] - h.time[newest]) / SECOND if len(rows) else np.zeros(len(low))
    share, price = _category(h, seen, pair_point, categories, pair_category)
    values = {
        "pair_engaged_count": high - low,
        "pair_purchase_count": purchase[high] - purchase[low],
        "pair_recency_s": np.where(found, age, np.nan),
        f"pair_in_last_{LAST}": found & (newest >= seen.end[pair_point] - LAST),
        "pair_price_ratio": np.log((item_rows[:, ITEM_PRICE] + 1.0) / (users["price_mean_30d"][pair_point] + 1.0)),
        "pair_category_price_ratio": np.log(item_rows[:, ITEM_PRICE] + 1.0) - price,
        "pair_category_share": share,
        "pair_similarity_lead": embedded.lead,
        "pair_affinity": embedded.affinity,
        f"pair_affinity_last_{LAST}": embedded.affinity_last,
        "pair_similarity": embedded.similarity,
    }
    pairs = np.stack([np.asarray(values[name], dtype=np.float32) for name in names(PAIR_FEATURES)], axis=1)
    asked = ahead.astype(np.float32)[pair_point, None]
    return np.concatenate([block[pair_point], item_rows.astype(np.float32), asked, pairs], axis=1)


def _matches(h: Histories, p: Points, codes: I32, pair_point: I64, pair_code: I32) -> tuple[I64, I64, I64]:
    """For each pair the behaviours of its point that carry its code: rows[low:high], in order. [M], [M], [E].

    Two binary searches a pair; neighbouring pairs ask for the same user and so touch neighbouring memory.
    """
    order = by_code(codes, h.offsets, highest=int(pair_code.max(initial=-1)))
    user = np.clip(np.searchsorted(h.offsets, p.start, side="right") - 1, 0, max(h.users - 1, 0))
    base = (user * order.codes * order.length - h.offsets[user])[pair_point] + (pair_code + 1) * order.length
    low = np.searchsorted(order.key, base + p.start[pair_point])
    high = np.searchsorted(order.key, base + p.end[pair_point])
    empty = (pair_code < 0) | (p.start >= p.end)[pair_point]
    return np.where(empty, 0, low), np.where(empty, 0, high), order.rows


def _category(
    h: Histories, p: Points, pair_point: I64, categories: I32 | None, pair_category: I32 | None
) -> tuple[F64, F64]:
    """[M] share of the point's behaviours in the pair's category, and the mean ln(price + 1) of those with a price."""
    if categories is None or pair_category is None:
        unknown = np.full(len(pair_point), np.nan)
        return unknown, unknown
    codes = np.append(categories, np.int32(-1))[h.item]  # item -1 reads the last: unknown
    low, high, rows = _matches(h, p, codes, pair_point, pair_category)
    priced = h.price[rows] >= 0
    count = np.append(0, np.cumsum(priced))
    total = np.append(0.0, np.cumsum(np.where(priced, np.log(np.maximum(h.price[rows], 0) + 1.0), 0.0)))
    share = ratio(high - low, (p.end - p.start)[pair_point])
    price = ratio(total[high] - total[low], count[high] - count[low])
    return np.where(pair_category < 0, np.nan, share), price
