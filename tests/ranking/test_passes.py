from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.config import FeatureSettings, RankerSettings, Settings
from recsys.features.definitions import ITEM_FEATURES, feature_names
from recsys.ranking.assemble import Encoder
from recsys.ranking.passes import Chosen, featured, labelled, read_noise, whole_users

UTC = pa.timestamp("us", tz="UTC")
S = 1_000_000
ALL = Chosen(first=0, last=2**62, until=2**62, share=1.0)
EVENTS = pa.schema(
    [
        ("user_id", pa.string()),
        ("event_time", UTC),
        ("known", UTC),
        ("event_id", pa.string()),
        ("behaviour", pa.string()),
        ("item_id", pa.string()),
        ("request_id", pa.string()),
        ("position", pa.int32()),
        ("draw", pa.int64()),
    ]
)
BOTH = pa.schema(
    [
        ("user_id", pa.string()),
        ("kind", pa.int32()),
        ("event_id", pa.string()),
        ("event_time", UTC),
        ("known", UTC),
        ("behaviour", pa.string()),
        ("item_id", pa.string()),
        ("price_minor", pa.int64()),
        ("quantity", pa.int64()),
        ("value", pa.float64()),
        ("ahead", pa.bool_()),
        ("label", pa.float32()),
        ("outcomes", pa.list_(pa.string())),
        ("draw_chance", pa.float64()),
        ("position", pa.int32()),
        ("item_row", pa.list_(pa.float32())),
        ("category", pa.string()),
    ]
)


def table(schema: pa.Schema, *rows: dict[str, Any]) -> pa.Table:
    told = ({"known": row["event_time"]} | row for row in rows)
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in told], schema)


@given(st.lists(st.lists(st.integers(0, 3), max_size=4), max_size=8))
def test_users_are_never_divided_and_no_row_is_lost(batches: list[list[int]]) -> None:
    flat = sorted(user for batch in batches for user in batch)
    places = np.cumsum([0, *(len(batch) for batch in batches)])
    parts = [flat[a:b] for a, b in pairwise(places)]
    cut = list(
        whole_users(pa.record_batch({"user_id": pa.array([str(user) for user in part], pa.string())}) for part in parts)
    )
    users = [piece["user_id"].to_pylist() for piece in cut]
    assert [int(user) for piece in users for user in piece] == flat
    assert all(not set(one) & set(two) for place, one in enumerate(users) for two in users[place + 1 :])
    assert all(users)


def test_events_become_labelled_pairs(newest_item: Encoder) -> None:
    pool = pa.table({"hour": [0], "item_id": ["z"], "events": [3]})
    noise, items = read_noise(pool, pool, RankerSettings())
    shown = {"user_id": "u", "event_time": 1, "behaviour": "impression", "request_id": "3"}  # named by the click
    events = table(
        EVENTS,
        shown | {"event_id": "1", "item_id": "a", "draw": 1, "position": 0},  # no place: they begin at 1
        shown | {"event_id": "2", "item_id": "b", "draw": 2, "position": 2},
        shown | {"event_id": "3", "item_id": "b", "draw": 3, "position": 2, "event_time": 5, "behaviour": "click"},
        {"user_id": "w", "event_time": 6, "event_id": "0", "behaviour": "view", "item_id": "c", "draw": 5},
        {"user_id": "w", "event_time": 7, "event_id": "4", "behaviour": "purchase", "item_id": "a", "draw": 4},
        {"user_id": "w", "event_time": 7, "event_id": "5", "behaviour": "view", "item_id": "d", "draw": 6},
    )
    rows = labelled(
        events, noise, items, newest_item, Settings(ranker=RankerSettings(lists=True, nightly=0)), ALL
    ).to_pylist()
    columns = ("user_id", "request_id", "item_id", "label", "target")
    assert [tuple(row[name] for name in columns) for row in rows] == [
        ("u", "list:3", "a", 0.0, None),
        ("u", "list:3", "b", 1.0, "click"),
        ("u", "3", "b", 1.0, "click"),
        ("u", "3", "z", 0.0, None),
        ("w", "4", "a", 1.0, "purchase"),
        ("w", "4", "z", 0.0, None),
        ("w", "4", "b", 0.0, None),  # near w's vector; c was met before, d at the same moment
    ]
    assert [row["at"].microsecond for row in rows] == [1, 1, 5, 5, 7, 7, 7]
    assert [row["outcomes"] for row in rows] == [[], ["click"], ["click"], [], ["purchase"], [], []]
    assert [row["position"] for row in rows] == [None, 2, None, None, None, None, None]
    # Lists are not drawn. z is all there is; b counts as one event beside its three, sqrt-weighted, in the wide
    # pool's four draws. w's near draws have one choice, b, and a is as near to w.
    other = 1 - (1 - 1 / 3**0.5) ** 4
    assert [row["draw_chance"] for row in rows] == [
        None, None, *(pytest.approx(chance, abs=1e-6) for chance in (other, 1, 1, 1, 1)),
    ]  # fmt: skip
    alone = Settings(ranker=RankerSettings(lists=False, near=0, nightly=0))
    rows = labelled(events, noise, items, newest_item, alone, ALL).to_pylist()
    assert [(row["request_id"], row["item_id"]) for row in rows] == [("3", "b"), ("3", "z"), ("4", "a"), ("4", "z")]


def test_a_share_of_the_targets_is_asked_for_at_some_moment_of_the_day_before(newest_item: Encoder) -> None:
    pool = pa.table({"hour": [0], "item_id": ["z"], "events": [1]})
    noise, items = read_noise(pool, pool, RankerSettings())
    count, day = 2000, 24 * 3600 * S
    click = {"behaviour": "click", "item_id": "a", "event_time": 3 * day}
    rows = ({**click, "user_id": f"{user:05}", "event_id": str(user), "draw": user * 7_919} for user in range(count))
    conf = Settings(ranker=RankerSettings(nightly=0.25))
    found = labelled(table(EVENTS, *rows), noise, items, newest_item, conf, ALL)
    positive = found.filter(pc.equal(found["label"], 1))
    lag = 3 * day - positive["at"].cast(pa.int64()).to_numpy()
    assert abs((lag > 0).mean() - 0.25) < 4 * (0.25 * 0.75 / count) ** 0.5
    assert positive["ahead"].to_pylist() == (lag > 0).tolist()
    assert lag.min() >= 0
    assert lag.max() < day
    assert abs(lag[lag > 0].mean() / day - 0.5) < 0.06
    at = dict(zip(found["request_id"].to_pylist(), found["at"].to_pylist(), strict=True))
    assert all(at[request] == moment for request, moment in zip(
        positive["request_id"].to_pylist(), positive["at"].to_pylist(), strict=True
    ))  # fmt: skip


def test_a_share_of_the_targets_is_drawn_of_those_between_the_moments(newest_item: Encoder) -> None:
    pool = pa.table({"hour": [0], "item_id": ["z"], "events": [1]})
    noise, items = read_noise(pool, pool, RankerSettings())
    count = 2000
    click = {"behaviour": "click", "item_id": "a"}
    users = ({**click, "user_id": f"{user:05}", "draw": user * 7_919} for user in range(count))
    rows = [
        user | {"event_id": f"{user['user_id']}-{time}", "event_time": time} for user in users for time in (1, 2, 3)
    ]
    conf = Settings(ranker=RankerSettings(nightly=0))
    found = labelled(
        table(EVENTS, *rows), noise, items, newest_item, conf, Chosen(first=2, last=3, until=9, share=0.25)
    )
    requests = set(found["request_id"].to_pylist())
    assert {request[-1] for request in requests} == {"2"}
    assert abs(len(requests) / count - 0.25) < 4 * (0.25 * 0.75 / count) ** 0.5


items_of = st.sampled_from("abcde")
PAST = st.lists(st.tuples(st.integers(0, 1), st.integers(1, 8), st.integers(0, 4), items_of), max_size=12)
ASKED = st.lists(st.tuples(st.integers(0, 1), st.integers(1, 9), st.sets(items_of, min_size=2)), max_size=4)


@given(PAST, ASKED, st.booleans())
def test_each_label_row_gives_one_row_or_is_left_out_by_rule(
    newest_item: Encoder, past: list[tuple[int, int, int, str]], asked: list[tuple[int, int, set[str]]], seen: bool
) -> None:
    """Whatever came late, at one moment or twice. In the second pass a pair may only go with what the user had met."""
    view = {"kind": 0, "behaviour": "view", "quantity": 1}
    rows = [
        view | {"user_id": f"u{u}", "event_id": f"{n}", "event_time": at, "known": at + late, "item_id": item}
        for n, (u, at, late, item) in enumerate(past)
    ]
    pair = {"kind": 1, "ahead": False, "item_row": [f.default for f in ITEM_FEATURES]}
    labels = [
        pair | {"user_id": f"u{u}", "event_id": f"r{n}", "event_time": at, "item_id": item, "label": float(not place)}
        for n, (u, at, items) in enumerate(asked)
        for place, item in enumerate(sorted(items))
    ]
    order = sorted(
        [*rows, *labels], key=lambda row: tuple(row[c] for c in ("user_id", "kind", "event_time", "event_id"))
    )
    conf = Settings(ranker=RankerSettings(seen=seen), features=FeatureSettings(k=3))
    found = [row for user in ("u0", "u1") if (own := [r for r in order if r["user_id"] == user])
             for row in featured(table(BOTH, *own), newest_item, conf).to_pylist()]  # fmt: skip
    expected = []
    for n, (u, at, items) in enumerate(asked):
        known = sorted(
            (t, f"{m}", item) for m, (v, t, late, item) in enumerate(past) if v == u and max(t, t + late) < at
        )
        met = set() if seen else {item for *_, item in known[-3:]}
        kept = [(f"r{n}", item, float(not place)) for place, item in enumerate(sorted(items)) if item not in met]
        expected += kept if {label for *_, label in kept} == {0.0, 1.0} else []
    assert sorted((row["request_id"], row["item_id"], row["label"]) for row in found) == sorted(expected)


@pytest.mark.parametrize("seen", [False, True])
def test_pairs_get_features_as_of_their_request(newest_item: Encoder, seen: bool) -> None:
    row = [float(place) for place in range(len(ITEM_FEATURES))]
    view = {"user_id": "u", "kind": 0, "behaviour": "view", "quantity": 1}
    pair = {"user_id": "u", "kind": 1, "event_id": "r", "event_time": 3 * S, "ahead": True, "label": 0.0}
    pair |= {"item_row": [f.default for f in ITEM_FEATURES]}
    both = table(
        BOTH,
        view | {"event_id": "1", "event_time": 1 * S, "item_id": "a", "category": "x"},
        view | {"event_id": "2", "event_time": 2 * S, "behaviour": "search"},
        view | {"event_id": "3", "event_time": 3 * S, "item_id": "b", "category": "y"},
        pair
        | {
            "item_id": "b",
            "category": "x",
            "label": 1.0,
            "behaviour": "click",
            "outcomes": ["cart", "click"],
            "position": 3,
            "item_row": row,
        },
        pair | {"item_id": "c", "category": "q"},
        pair | {"item_id": "a", "category": "x"},
        {
            **view,
            "user_id": "v",
            "event_id": "9",
            "event_time": S,
            "item_id": "a",
            "category": "x",
        },  # a user without pairs
    )
    conf = Settings(ranker=RankerSettings(seen=seen), features=FeatureSettings(k=8))
    rows = featured(both, newest_item, conf).to_pylist()
    assert [(r["request_id"], r["item_id"], r["label"], r["behaviour"]) for r in rows] == [
        ("r", "b", 1.0, "click"),
        ("r", "c", 0.0, None),
        *([("r", "a", 0.0, None)] if seen else []),
    ]
    assert rows[0]["outcomes"] == ["cart", "click"]
    assert [row["position"] for row in rows[:2]] == [3, None]
    one, two = (dict(zip(feature_names(FeatureSettings()), r["features"], strict=True)) for r in rows[:2])
    assert (one["engaged_count"], one["search_count_1d"], one["recency_s"]) == (2, 1, 1)
    assert one["request_is_ahead"] == 1
    assert one["pair_category_share"] == 0.5
    assert two["pair_category_share"] == 0.0
    assert [one[f.name] for f in ITEM_FEATURES] == row
    assert two["item_engaged_count_1h"] == 0
    assert np.isnan(two["item_price_minor"])


def test_users_without_pairs_give_an_empty_table(newest_item: Encoder) -> None:
    both = table(BOTH, {"user_id": "v", "kind": 0, "event_time": S, "item_id": "a", "behaviour": "view", "quantity": 1})
    assert featured(both, newest_item, Settings()).num_rows == 0
