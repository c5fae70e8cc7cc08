import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.config import EncoderSettings
from recsys.encoder.examples import Examples, HeldOut, split
from recsys.encoder.sequences import Windows, tokens
from recsys.encoder.vocabulary import Vocabulary
from recsys.features.history import Histories
from tests.encoder.samples import S, Step, histories, views

ALL = EncoderSettings(length=50, chunks=9, validation_users=0)

steps = st.tuples(st.sampled_from(["a", "b", "c", "d", "e", None]), st.integers(0, 2), st.integers(0, 20))
users = st.lists(st.lists(steps, max_size=12), min_size=1, max_size=6)


def cut(
    h: Histories, s: EncoderSettings, newest: int | None = None, seed: int = 0
) -> tuple[Examples, Windows, HeldOut]:
    t = tokens(h, Vocabulary(h.items), 3)
    return split(h, t, s, np.random.default_rng(seed), None if newest is None else newest * S)


def targets(e: Examples) -> list[list[tuple[int, int]]]:
    """(position, target) pairs that count, window by window."""
    rows = zip(e.windows.start.tolist(), e.windows.end.tolist(), e.floor.tolist(), strict=True)
    return [[(p, int(e.target[p])) for p in range(a, b) if e.target[p] >= floor] for a, b, floor in rows]


def firsts(h: Histories, user: int) -> list[int]:
    """Positions where a user meets an item for the first time."""
    low, high = h.offsets[user : user + 2].tolist()
    seen: set[int] = set()
    found = []
    for place in range(low, high):
        item = int(h.item[place])
        if item >= 0 and item not in seen:
            seen.add(item)
            found.append(place)
    return found


def owner(h: Histories, place: int) -> int:
    return int(np.searchsorted(h.offsets, place, side="right")) - 1


def in_order(rows: list[list[Step]]) -> Histories:
    return histories([sorted(row, key=lambda step: step[2]) for row in rows])


def test_by_hand() -> None:
    e, old, held = cut(views("aabca", "bb", "cab"), ALL)
    assert targets(e) == [[(0, 2), (1, 2), (2, 3)], [(7, 8), (8, 9)]]  # a repetition is input, never a target
    assert (e.windows.start.tolist(), e.windows.end.tolist()) == ([0, 7], [3, 9])
    assert len(old.end) == len(held.position) == 0


def test_windows_end_before_the_last_target() -> None:
    e, _, _ = cut(views("abcdef"), EncoderSettings(length=2, chunks=2, validation_users=0))
    assert list(zip(e.windows.start.tolist(), e.windows.end.tolist(), strict=True)) == [(3, 5), (1, 3)]


@given(users, st.integers(-1, 20), st.booleans())
def test_prefixes_ask_for_the_same_targets_each_at_its_windows_end(
    rows: list[list[Step]], newest: int, hold: bool
) -> None:
    h = in_order(rows)
    s = ALL.model_copy(update={"validation_users": 99 * hold, "validation_share": 1.0})
    for moment in (None, newest):
        shared, old, held = cut(h, s, moment)
        own, own_old, own_held = cut(h, s.model_copy(update={"prefixes": True}), moment)
        wanted = {pair for window in targets(shared) for pair in window}
        assert {(p, int(own.target[p])) for p in (own.windows.end - 1).tolist()} == wanted
        assert len(own.windows.end) == len(wanted)
        assert {int(own.target[p]) for p in (own_old.end - 1).tolist()} == {
            target
            for window in targets(Examples(windows=old, floor=old.start, target=shared.target))
            for _, target in window
        }
        assert own_held.position.tolist() == held.position.tolist()
        for a, b in zip(own.windows.start.tolist(), own.windows.end.tolist(), strict=True):
            assert a == h.offsets[owner(h, b - 1)]  # all that lies before, L at most


@given(users, st.booleans())
def test_each_target_is_the_next_item_that_is_new_and_none_is_forgotten(rows: list[list[Step]], hold: bool) -> None:
    h = in_order(rows)
    s = ALL.model_copy(update={"validation_users": 99 * hold, "validation_share": 1.0})
    e, _, held = cut(h, s)
    found = [pair for window in targets(e) for pair in window]
    for place, target in found:
        mine = firsts(h, owner(h, place))
        assert target == min(p for p in mine if p > place)
    secret = set(held.position.tolist())
    wanted = {p for user in range(h.users) for p in firsts(h, user) if p > h.offsets[user]} - secret
    assert {target for _, target in found} == wanted
    if hold:
        for user in range(h.users):
            mine = firsts(h, user)
            assert (bool(mine) and mine[-1] in secret) == bool(mine and mine[-1] > h.offsets[user])


@given(users, st.integers(0, 99))
def test_what_is_held_out_is_never_an_input_or_a_target(rows: list[list[Step]], seed: int) -> None:
    h = in_order(rows)
    s = ALL.model_copy(update={"validation_users": 2, "validation_share": 0.6, "length": 4, "chunks": 3})
    e, old, held = cut(h, s, seed=seed)
    eligible = [user for user in range(h.users) if firsts(h, user) and firsts(h, user)[-1] > h.offsets[user]]
    assert len(held.position) == min(2, int(0.6 * len(eligible)))
    for start, place in zip(held.start.tolist(), held.position.tolist(), strict=True):
        user = owner(h, place)
        assert (start, place) == (h.offsets[user], firsts(h, user)[-1])
        assert all(not a <= place < b for a, b in zip(e.windows.start, e.windows.end, strict=True))
        assert place not in {target for window in targets(e) for _, target in window}
        # nothing after it is seen either
        assert all(b <= place or a >= h.offsets[user + 1] for a, b in zip(e.windows.start, e.windows.end, strict=True))
    assert (e.windows.lengths <= 4).all()
    assert len(old.end) == 0


@given(users, st.integers(-1, 20), st.booleans())
def test_an_increment_learns_what_is_newer_and_keeps_the_older_apart(
    rows: list[list[Step]], newest: int, hold: bool
) -> None:
    h = in_order(rows)
    s = ALL.model_copy(update={"validation_users": 99 * hold, "validation_share": 0.5})
    e, old, held = cut(h, s, newest)
    secret = set(held.position.tolist())
    new = {p for user in range(h.users) for p in firsts(h, user) if p > h.offsets[user] and h.time[p] > newest * S}
    assert secret <= new
    assert {target for window in targets(e) for _, target in window} == new - secret
    assert all(targets(e))  # a window without such a target teaches nothing
    replayed = Examples(windows=old, floor=old.start, target=e.target)
    known = {p for user in range(h.users) for p in firsts(h, user) if p > h.offsets[user] and h.time[p] <= newest * S}
    assert {target for window in targets(replayed) for _, target in window} == known
    assert (old.lengths > 0).all()


def test_replay_draws_a_share_of_the_old_windows_with_all_their_targets() -> None:
    e, old, _ = cut(views(*["abcdef"] * 10), ALL, newest=150)  # a, b, c are old
    assert e.floor.tolist() == [6 * user + 3 for user in range(10)]
    assert old.end.tolist() == [6 * user + 2 for user in range(10)]
    mixed = e.with_replay(old, 0.34, np.random.default_rng(0))
    assert len(mixed.windows.end) == 13
    added = mixed.windows.start[10:].tolist()
    assert mixed.floor[10:].tolist() == added
    assert len(set(added)) == 3
    assert set(added) <= set(old.start.tolist())
    assert targets(mixed)[10] == [(added[0], added[0] + 1), (added[0] + 1, added[0] + 2)]
    assert len(e.with_replay(old, 5.0, np.random.default_rng(0)).windows.end) == 20  # no window twice
    assert len(e.with_replay(old, 0.0, np.random.default_rng(0)).windows.end) == 10


@pytest.mark.parametrize("newest", [None, 5])
def test_nobody_has_no_examples(newest: int | None) -> None:
    e, old, held = cut(histories([]), ALL, newest)
    assert len(e.windows.end) == len(old.end) == len(held.position) == 0
