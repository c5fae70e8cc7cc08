"""The page `docs/features.md`, written from the definitions: `python -m recsys.features.docs`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

from recsys.config import FeatureSettings, ItemFeature, load
from recsys.features.definitions import (
    ITEM_FEATURES,
    PAIR_FEATURES,
    REQUEST_FEATURES,
    USER_FEATURES,
    all_features,
    feature_hash,
    profile_features_of,
)
from recsys.features.feature import VALUES, Feature
from recsys.settings.item import LIFELONG
from recsys.settings.user import BEHAVIOUR, ITEM, LONGEST, LONGEST_LIFE, QUERY, SHORTEST, SHORTEST_LIFE, TAKES, TERM
from recsys.tables import SKETCH_ERROR


def _of_users() -> str:
    rows = {name: [", ".join(f"`{word}`" for word in words.split()) for words in TAKES[name]] for name in TAKES}
    return "\n".join(f"| `{name}` | {needs} | {may} |" for name, (needs, may) in rows.items())


def _of_items() -> str:
    return ", ".join(f"`{name}`" for name in get_args(ItemFeature.model_fields["operation"].annotation))


def _lifelong() -> str:
    return ", ".join(f"`{name}`" for name in LIFELONG)


def _values() -> str:
    return "; ".join(f"`{name}`: {meaning} [{unit}]" for name, (unit, meaning) in VALUES.items())


HASH = feature_hash(all_features(FeatureSettings()))
HEAD = f"""# Features

Written by `python -m recsys.features.docs > docs/features.md`; do not edit. Definitions hash: `{HASH}`.

- Times are UTC with microseconds. Prices are integers in minor units (cents).
- A user's features are a function of the last K *engaged* behaviours (`features.k`; which behaviours are engaged is set
  under `behaviours`) in total order, event time then event id, and of a time t. A window w is (t - w, t]. What lies
  after t does not count. A user with more than K engaged behaviours is marked `truncated`: a window may then reach past
  the K-th.
- "As of" a label is strictly before it: the label itself and all behaviours of the same microsecond are left out.
- A stored row is true at its own `as_of` and stale after it; every consumer computes at its own t.
- An item's features are true at a whole hour; a window w is [hour - w, hour). They count all users, anonymous ones too.
- A session ends after a pause longer than `features.session_gap_minutes`.
- *Unknown* is NULL in Delta and NaN in NumPy; it never means 0. Whole numbers do not depend on the order of events.

## Your own features of users

`features.user` adds features of users, as columns of `user_profiles`. A name follows from what it is: these are
`cart_count_3h`, `view_decayed_count_2d`, `engaged_trend_1h_7d`, `category_top3_30d` and `impression_lifetime_count`.

```yaml
features:
  user:
    - {{operation: count, behaviour: cart, window: 3h}}
    - {{operation: decayed_count, behaviour: view, window: 2d}}  # the window is the half-life
    - {{operation: trend, window: 1h, reference: 7d}}
    - {{operation: top_k, key: category, k: 3, window: 30d}}  # category: a name of the mapping's `context`
    - {{operation: lifetime_count, behaviour: impression}}
```

| operation | needs | may have |
|---|---|---|
{_of_users()}

| key | what it takes |
|---|---|
| `behaviour` | only behaviours of this type, engaged ones unless for a lifetime; without it all engaged behaviours |
| `value` | {_values()} |
| `window` | {SHORTEST} to {LONGEST}, in `m`, `h` or `d`; of decayed ones the half-life; without it all of the last K |
| `reference` | the longer window of a trend |
| `key` | tells behaviours apart: `{ITEM}`, `{BEHAVIOUR}`, `{QUERY}`, `{TERM}` (its words), a name of `context` |
| `k` | entries of a list, at most `features.k` |
| `per` | the behaviours that a rate divides by |
| `prior` | `[a, b]`: added above and below a rate's line, so that without behaviour it is a / b |

- One number over the last K that needs no more than `recent` is an input of the ranker too. Lists, maps, what rests on
  a query or on the context, and lifetime numbers are columns alone: the ranker takes numbers, and its examples know the
  last K behaviours before a label, but neither those texts nor all earlier events.
- `lifetime_decayed_count` and `lifetime_decayed_sum` halve every `window` of an event's age, {SHORTEST_LIFE} to
  {LONGEST_LIFE}: shorter ones leave the range of a double, and `decayed_count` takes any. Events of 1990 to 2070 count;
  of values those above 0. They are true to 1e-9 for some 8 million events of a user. `lifetime_distinct` takes
  `key: item` and up to 4.2 KB of state a user; {SKETCH_ERROR} beyond some 380 items, exact below but for collisions.
- `query`, `term` and names of the context are as the event said them when it happened; `user_profiles` then has
  `recent_<name>` beside `recent`. The catalogue's category is another matter: it changes, and events do not say it.
- `recsys.features.profile.profile_features` computes all but the lifetime numbers, from `user_profiles` and at any t.

What no state of a user can say exactly is refused before Spark starts: a behaviour that is not engaged, a window out
of range or over a lifetime, a lifetime's undecayed sum of fractions, a `k` beyond K, a key that the mapping does not
give, a name that is there already. A set of features that changed asks for `jobs/rebuild.py`; where the ranker's
inputs changed, for a new model too: the present one reads the former set.

## Your own features of items

`features.item` adds features of items, as columns of `item_features` and of the item snapshot, and inputs of the
ranker. These are `item_view_count_6h`, `item_purchase_spend_sum_14d`, `item_purchase_per_cart_rate_7d`,
`item_view_trend_1h_7d`, `item_cart_share_1d`, `item_click_decayed_count_7d_1d`, `item_view_distinct_users_1d` and
`item_purchase_count`.

```yaml
features:
  item:
    - {{operation: count, behaviour: view, window: 6h}}
    - {{operation: sum, behaviour: purchase, value: spend, window: 14d}}
    - {{operation: rate, behaviour: purchase, per: cart, prior: [1, 20], window: 7d}}  # (n + 1) / (max(carts, n) + 20)
    - {{operation: trend, behaviour: view, window: 1h, reference: 7d}}
    - {{operation: share, behaviour: cart, window: 1d}}
    - {{operation: decayed_count, behaviour: click, window: 7d, half_life: 1d}}
    - {{operation: distinct_users, behaviour: view, window: 1d}}  # {SKETCH_ERROR}
    - {{operation: count, behaviour: purchase}}  # no window: the item's whole life
```

| key | what it takes |
|---|---|
| `operation` | {_of_items()} |
| `behaviour` | a behaviour, or `event`: all of them, impressions included; without it all engaged ones |
| `value` | of `sum`: `quantity` or `spend` |
| `per`, `prior` | of `rate`: what it is divided by; what is added above and below the line, as few events say little |
| `window` | a multiple of `stream.tile_minutes`, up to `stream.retention_days`; {_lifelong()} do without |
| `reference` | of `trend`: the longer window |
| `half_life` | of `decayed_count`: 1h or more |

What tiles cannot say exactly is refused before Spark starts, with the nearest that they can. Days of `item_features`
that were computed with another set are computed again from `events`, when they are next asked for; no query has to be
rebuilt. The ranker needs a new model. A window that is no multiple of an hour makes the backfill hold smaller cells, a
longer one more of them; a feature of the whole life reads all of `events`. Tiles hold sketches of users from the moment
that a feature asks for them; from older tiles distinct users are unknown, from `events`, which the backfill reads, not.
"""
EXAMPLE = "conf/features.yaml"


def example() -> tuple[Feature, ...]:
    """What EXAMPLE, a file of this repository, adds to the features of users."""
    settings = load([str(Path(__file__).resolve().parents[2] / EXAMPLE)], env={}).features
    return tuple(f for f in profile_features_of(settings) if f not in USER_FEATURES)


SECTIONS = (
    ("User features", "Columns of `user_profiles` and inputs of the ranker.", USER_FEATURES),
    ("Item features", "Columns of `item_features` and of the item snapshot; inputs of the ranker.", ITEM_FEATURES),
    ("Request features", "Of the list that is asked for; inputs of the ranker.", REQUEST_FEATURES),
    ("Pair features", "Of a user and an item at t; inputs of the ranker.", PAIR_FEATURES),
)


def page() -> str:
    """The whole page as Markdown."""
    added = (f"The example `{EXAMPLE}`", "Columns of `user_profiles` with that file laid over the settings.", example())
    return "\n".join([HEAD, *(_section(*section) for section in (*SECTIONS, added))])


def _section(title: str, use: str, features: tuple[Feature, ...]) -> str:
    rows = [f"| `{f.name}` | {f.meaning} | {f.unit} | {f.type} | {_default(f)} |" for f in features]
    head = ["| feature | meaning | unit | type | without behaviour |", "|---|---|---|---|---|"]
    return "\n".join([f"## {title} ({len(features)})", "", use, "", *head, *rows, ""])


def _default(feature: Feature) -> str:
    if feature.default is None:
        return "unknown"
    return "empty" if feature.default == () else str(feature.default).lower()


if __name__ == "__main__":
    sys.stdout.write(page())
