"""Item features from tiles against the oracle."""

from __future__ import annotations

from math import gcd

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config import FeatureSettings
from recsys.features.definitions import item_features_of
from recsys.features.history import Points
from recsys.features.item_feature import DISTINCT, cell
from recsys.features.tiles import Tiles, item_features, present
from tests.features import item_oracle, oracle
from tests.features.item_oracle import EVERY_ITEM, UNIT
from tests.features.logs import AT, events
from tests.features.oracle import ENGAGED, NAMES, Event, S
from tests.features.tiles import everyone_of, tiles_of

HOUR = 3600 * S
START = AT // HOUR * HOUR
FEATURES = FeatureSettings(item=EVERY_ITEM)
ITEMS = ["a", "b", "nothing", "ü"]


@settings(max_examples=200)
@given(events(), st.sampled_from([300 * S, 60 * S]), st.sampled_from([0, 1, -1, 168, -168]), st.sampled_from([None, 5]))
def test_equals_oracle(log: list[Event], width: int, shift: int, price: int | None) -> None:
    at, declared = START + shift * HOUR, item_features_of(FEATURES)
    tiles = tiles_of(log, ITEMS, width)
    points = Points(start=tiles.offsets[:-1], end=tiles.offsets[1:], at=np.full(4, at))
    first = [min((e.time // HOUR * HOUR for e in log if e.item == item), default=at) for item in ITEMS]
    told = oracle.price_values(price, 7)
    prices = {name: np.full(4, np.nan if value is None else value) for name, value in told.items()}
    crowd = item_oracle.crowd_of(log)
    everyone = everyone_of(crowd, [at] * 4, declared)
    values = item_features(tiles, points, NAMES, ENGAGED, prices, np.asarray(first), everyone, declared)
    assert tuple(values) == tuple(f.name for f in declared if f.operation != DISTINCT)
    for row, item in enumerate(ITEMS):
        wanted = item_oracle.values(log, item, at, EVERY_ITEM, crowd, (price, 7))
        for name in values:
            assert oracle.agree(values[name][row].item(), wanted[name]), (name, values[name][row], wanted[name])


@given(events(), st.sampled_from([0, 1, -8 * 24, 30 * 24]))
def test_an_item_is_present_while_a_window_holds_an_event_of_it(log: list[Event], shift: int) -> None:
    at, tiles = START + shift * HOUR, tiles_of(log, ITEMS, HOUR)
    points = Points(start=tiles.offsets[:-1], end=tiles.offsets[1:], at=np.full(4, at))
    for reach, features in ((7 * UNIT["d"], ()), (20 * UNIT["d"], EVERY_ITEM[1:2]), (None, EVERY_ITEM)):
        found = present(tiles, points, reach).tolist()
        assert found == [item_oracle.there(log, item, at, features) for item in ITEMS]


@given(events())
def test_what_lies_before_all_windows_may_be_folded_into_one_row(log: list[Event]) -> None:
    whole, early = tiles_of(log, ["a"], HOUR), START - 21 * UNIT["d"]
    old = [e for e in log if e.time < early and e.item == "a"]
    folded = tiles_of([e for e in log if e not in old], ["a"], HOUR)
    fold = [[e for e in old if e.behaviour == name] for name in NAMES]
    sums = [[len(es), sum(e.quantity for e in es), sum((e.price or 0) * e.quantity for e in es)] for es in fold]
    added = np.asarray(sums, dtype=np.int64)
    short = Tiles(
        offsets=folded.offsets + np.asarray([0, len(NAMES)]),
        tile=np.append(np.full(len(NAMES), -(2**60)), folded.tile),
        behaviour=np.append(np.arange(len(NAMES), dtype=np.int8), folded.behaviour),
        events=np.append(added[:, 0], folded.events),
        pieces=np.append(added[:, 1], folded.pieces),
        revenue=np.append(added[:, 2], folded.revenue),
    )
    declared = [f for f in item_features_of(FEATURES) if f.operation in ("count", "sum", "rate", "decayed_count")]
    first = np.asarray([START])
    points = [Points(start=t.offsets[:1], end=t.offsets[1:], at=first) for t in (whole, short)]
    both = zip((whole, short), points, strict=True)
    told = [item_features(t, p, NAMES, ENGAGED, {}, first, {}, declared) for t, p in both]
    for name in told[0]:
        np.testing.assert_allclose(told[0][name], told[1][name], rtol=1e-12, err_msg=name)


def test_cells_are_as_wide_as_all_windows_allow() -> None:
    assert cell(item_features_of(FeatureSettings())) == HOUR
    windows = [item_oracle.length(w) for f in EVERY_ITEM for w in (f.window, f.reference) if w]
    assert cell(item_features_of(FEATURES)) == gcd(HOUR, *windows) == 300 * S
