from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.features.history import MISSING
from recsys.ranking.draws import HOUR, Draw, Noise, Pool, build_pool
from recsys.ranking.examples import Kinds, Lists, Log, Pairs, complete, make_pairs

IMPRESSION, VIEW, CLICK, PURCHASE = range(4)
KINDS = Kinds(
    shown=IMPRESSION,
    engaged=np.asarray([VIEW, CLICK, PURCHASE], dtype=np.int8),
    targets=np.asarray([CLICK, PURCHASE], dtype=np.int8),
)
EVER = Lists(2**40, 2**62)
Row = tuple[int, int, int, int, int]  # user, time, behaviour, item, request
NOTHING = build_pool(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int64), 1.0)


def log(rows: list[Row], position: list[int] | None = None) -> Log:
    columns = np.asarray(rows, dtype=np.int64).reshape(-1, 5).T
    return Log(
        user=columns[0],
        time=columns[1],
        known=columns[1],
        behaviour=columns[2].astype(np.int8),
        item=columns[3].astype(np.int32),
        request=columns[4].astype(np.int32),
        position=np.full(len(rows), MISSING, np.int32) if position is None else np.asarray(position, np.int32),
        draw=np.arange(len(rows), dtype=np.int64) * 7_919,
    )


def pool(hours: dict[int, dict[int, int]], power: float = 1.0) -> Pool:
    rows = [(hour * HOUR, item, events) for hour, items in hours.items() for item, events in items.items()]
    hour, item, events = np.asarray(rows, dtype=np.int64).T
    return build_pool(hour, item.astype(np.int32), events, power)


def noise(pool: Pool, count: int) -> Noise:
    return (Draw(pool=pool, count=count),)


def tuples(pairs: Pairs) -> list[tuple[int, bool, int, int]]:
    return list(
        zip(pairs.row.tolist(), pairs.shown.tolist(), pairs.item.tolist(), pairs.behaviour.tolist(), strict=True)
    )


def made(log: Log, noise: Noise, first: int = 0, lists: Lists = EVER) -> Pairs:
    """Pairs of all targets from `first` on, each asked for at its own time."""
    return make_pairs(log, log.time >= first, log.time, KINDS, noise, lists)


def test_a_shown_list_gives_its_own_negatives() -> None:
    rows = [
        (0, 1, IMPRESSION, 10, 5),
        (0, 1, IMPRESSION, 11, 5),
        (0, 2, IMPRESSION, 12, 5),
        (0, 2, IMPRESSION, 10, 5),  # shown twice: one pair
        (0, 3, VIEW, 11, 5),  # engaged, yet no target: neither label
        (0, 4, CLICK, 10, 5),
        (0, 5, PURCHASE, 10, 5),  # the newest target names the behaviour
        (0, 6, IMPRESSION, 10, 6),  # a list without a target is left out
        (1, 1, IMPRESSION, 10, 5),  # another user's list of the same id
    ]
    pairs = made(log(rows), noise(NOTHING, 4))
    assert tuples(pairs) == [(0, True, 10, PURCHASE), (0, True, 12, MISSING)]
    assert pairs.outcomes.tolist() == [[True, True], [False, False]]  # clicked and purchased


def test_a_shown_item_has_the_place_of_its_first_impression() -> None:
    rows = [
        (0, 1, IMPRESSION, 10, 5),
        (0, 1, IMPRESSION, 11, 5),
        (0, 2, IMPRESSION, 12, 5),
        (0, 2, IMPRESSION, 10, 5),  # once more, and further down
        (0, 3, IMPRESSION, 13, 5),
        (0, 3, IMPRESSION, 13, 5),  # the first told no place: none is known
        (0, 4, CLICK, 12, 5),  # a click has the place too, which is no impression's
    ]
    known = log(rows, position=[1, 2, 3, 4, MISSING, 5, 9])
    pairs = made(known, noise(pool({0: {1: 1}}), 1))
    found = list(zip(pairs.shown.tolist(), pairs.item.tolist(), pairs.position.tolist(), strict=True))
    assert found == [
        (True, 10, 1),
        (True, 11, 2),
        (True, 12, 3),
        (True, 13, MISSING),
        (False, 12, MISSING),  # the click's own request: nobody chose among places there
        (False, 1, MISSING),
    ]


def test_a_behaviour_counts_for_its_impression_within_the_window() -> None:
    """A window of 10: of list 5 from 20 on, of item 12, which came further down the page, from 25 on."""
    shown = [(0, 20, IMPRESSION, 10, 5), (0, 20, IMPRESSION, 11, 5), (0, 25, IMPRESSION, 12, 5)]
    shown += [(0, 25, IMPRESSION, 13, 5), (0, 25, IMPRESSION, 10, 5)]
    did = [(0, 19, CLICK, 13, 5), (0, 29, CLICK, 10, 5), (0, 30, PURCHASE, 11, 5), (0, 34, PURCHASE, 12, 5)]
    rows = log(sorted(shown + did, key=lambda row: row[1]))
    first = 1  # behind the click at 19
    found = [(first, True, 10, CLICK), (first, True, 11, MISSING), (first, True, 12, PURCHASE)]
    assert tuples(made(rows, noise(NOTHING, 4), lists=Lists(10, 35))) == found  # 11 came too late, 13 before its time
    assert tuples(made(rows, noise(NOTHING, 4), lists=Lists(10, 34))) == []  # the windows of 25 have not ended
    assert tuples(made(rows, noise(NOTHING, 4), lists=Lists(9, 35))) == []  # both at exactly 9 came too late


def test_a_target_that_was_not_shown_draws_from_the_hour_that_serves_it() -> None:
    rows = [(0, HOUR + 1, CLICK, 10, MISSING), (0, 3 * HOUR, CLICK, 11, 8)]
    pairs = made(log(rows), noise(pool({0: {1: 1}, 1: {10: 100, 2: 1, 3: 1}, 9: {4: 1}}, 0.0), 2))
    by_row: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row, shown, item, behaviour in tuples(pairs):
        assert not shown
        by_row[row].append((item, behaviour))
    assert by_row[0][0] == (10, CLICK)
    assert {item for item, _ in by_row[0][1:]} <= {2, 3}
    assert by_row[1][0] == (11, CLICK)  # hour 3 has no pool: hour 1 serves
    assert {item for item, _ in by_row[1][1:]} <= {10, 2, 3}


def test_a_request_draws_for_the_moment_that_it_is_asked_for() -> None:
    rows = [(0, 5 * HOUR, CLICK, 10, MISSING), (0, 5 * HOUR, VIEW, 2, MISSING), (0, 5 * HOUR + 1, CLICK, 11, MISSING)]
    moment = np.asarray([HOUR, HOUR, 5 * HOUR])
    asked = np.asarray([True, True, False])
    drawing = noise(pool({1: {1: 1, 2: 1}, 5: {3: 1}}), 5)
    pairs = make_pairs(log(rows), asked, moment, KINDS, drawing, None)
    assert tuples(pairs) == [(0, False, 10, CLICK), (0, False, 1, MISSING)]  # 2 is the label's tie


def test_ties_of_the_label_are_never_negatives() -> None:
    rows = [(0, 5, CLICK, 10, MISSING), (0, 5, VIEW, 2, MISSING), (1, 5, CLICK, 3, MISSING)]
    pairs = made(log(rows), noise(pool({0: {10: 1, 2: 1, 3: 1}}), 30))
    assert sorted(item for row, _, item, b in tuples(pairs) if row == 0 and b == MISSING) == [3]
    assert sorted(item for row, _, item, b in tuples(pairs) if row == 2 and b == MISSING) == [2, 10]


def test_targets_before_the_first_moment_and_without_a_pool_are_left_out() -> None:
    rows = [(0, 5, CLICK, 10, MISSING), (0, 2 * HOUR, CLICK, 11, MISSING), (0, 2 * HOUR + 1, CLICK, MISSING, MISSING)]
    pairs = made(log(rows), noise(pool({1: {1: 1}}), 2))
    assert {row for row, *_ in tuples(pairs)} == {1}
    assert tuples(made(log(rows), noise(pool({1: {1: 1}}), 2), 3 * HOUR)) == []
    assert tuples(made(log([]), noise(NOTHING, 2))) == []


def test_complete_wants_both_labels() -> None:
    request = np.asarray([0, 0, 1, 2, 2, 2])
    positive = np.asarray([True, False, True, False, False, False])
    assert complete(request, positive).tolist() == [True, True, False, False, False, False]


rows_of = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 6), st.integers(0, 3), st.integers(-1, 4), st.integers(-1, 2)),
    max_size=25,
)


@settings(max_examples=300)
@given(rows_of, st.integers(1, 7), st.integers(0, 13))
def test_shown_lists_agree_with_a_plain_oracle(rows: list[Row], window: int, until: int) -> None:
    rows = sorted(rows, key=lambda row: row[:2])
    lists: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place, (user, _, behaviour, item, request) in enumerate(rows):
        if behaviour == IMPRESSION and item >= 0 and request >= 0:
            lists[user, request].append(place)
    expected = set()
    first: dict[tuple[int, int, int], int] = {}  # (user, list, item) -> row of the first impression, from 1
    for (user, request), places in lists.items():
        engaged: dict[int, set[int]] = defaultdict(set)
        newest: dict[int, int] = {}
        shown = {rows[place][3]: rows[place][1] for place in reversed(places)}  # item -> its first impression
        first |= {(user, request, rows[place][3]): place + 1 for place in reversed(places)}
        for own, time, behaviour, item, of in rows:
            if (own, of) == (user, request) and behaviour != IMPRESSION and time < shown.get(item, 99) + window:
                engaged[item].add(behaviour)
                if behaviour in (CLICK, PURCHASE) and time >= shown.get(item, 99):
                    newest[item] = behaviour
        if any(time + window > until for time in shown.values()):
            continue
        positive = {(places[0], True, item, newest[item]) for item in shown if item in newest}
        negative = {(places[0], True, item, MISSING) for item in shown if item not in engaged}
        if positive and negative:
            expected |= positive | negative
    pairs = made(log(rows, list(range(1, len(rows) + 1))), noise(NOTHING, 2), lists=Lists(window, until))
    got = tuples(pairs)
    assert len(set(got)) == len(got)
    assert set(got) == expected
    for row, item, place in zip(pairs.row, pairs.item, pairs.position, strict=True):
        assert first[rows[row][0], rows[row][4], item] == place


@settings(max_examples=200)
@given(rows_of, st.integers(1, 4))
def test_drawn_negatives_keep_their_promises(rows: list[Row], negatives: int) -> None:
    rows = sorted((user, time, behaviour, item, MISSING) for user, time, behaviour, item, _ in rows)
    pairs = made(log(rows), noise(pool({0: {item: item + 1 for item in range(6)}}), negatives))
    by_row: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row, _, item, behaviour in tuples(pairs):
        by_row[row].append((item, behaviour))
    for row, items in by_row.items():
        user, time, behaviour, item, _ = rows[row]
        assert [pair for pair in items if pair[1] != MISSING] == [(item, behaviour)]
        drawn = [other for other, label in items if label == MISSING]
        assert 1 <= len(drawn) <= negatives
        assert len(set(drawn)) == len(drawn)
        tied = {r[3] for r in rows if r[:2] == (user, time) and r[2] != IMPRESSION}
        assert not tied & set(drawn)
