"""What an epoch trains on and is judged by: windows with their next new items, and held-out last items.

Shape letters: E behaviours, U users, W windows, X users held out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.config import EncoderSettings
from recsys.encoder.sequences import Tokens, Windows, chunks, fresh, last_windows, next_fresh, prefixes
from recsys.features.history import I64, Histories


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Training windows; a position's target counts if it lies at or after its window's `floor`.

    With `settings.prefixes`, only the target of a window's last position counts.
    """

    windows: Windows
    floor: I64  # [W]
    target: I64  # [E] position of the next item that is new to the user; -1: none

    def with_replay(self, old: Windows, share: float, rng: np.random.Generator) -> Examples:
        """The same, with up to share * W of the `old` windows drawn without replacement, all their targets counting."""
        size = min(len(old.end), round(share * len(self.windows.end)))
        drawn = old.take(np.sort(rng.choice(len(old.end), size, replace=False)))
        windows = Windows(
            start=np.concatenate([self.windows.start, drawn.start]), end=np.concatenate([self.windows.end, drawn.end])
        )
        return Examples(windows=windows, floor=np.concatenate([self.floor, drawn.start]), target=self.target)


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The last new item of X users, and all that they did before it."""

    start: I64  # [X] first behaviour of the user
    position: I64  # [X] the held-out behaviour


def split(
    h: Histories, t: Tokens, s: EncoderSettings, rng: np.random.Generator, newest: int | None
) -> tuple[Examples, Windows, HeldOut]:
    """Training windows, windows of what is already known, and held-out users, all cut from the same histories.

    With `newest`, only items met after that time are targets; windows that hold older targets are returned apart, for
    replay. Held out are the last new items of a drawn share of the users that have one to train on as well.
    """
    first, stop = h.offsets[:-1], h.offsets[1:]
    user = np.repeat(np.arange(h.users, dtype=np.int64), h.lengths)
    places = np.where(fresh(t.item, user) > 0, np.arange(len(user), dtype=np.int64), -1)
    newest_fresh = np.append(np.maximum.accumulate(places), -1)  # [E + 1] at or before a position; [-1] before all
    last = newest_fresh[stop - 1]  # [U] below `first` where the user has none
    floor = first if newest is None else _first_after(h, newest)
    eligible = np.flatnonzero((last > first) & (last >= floor))
    size = min(s.validation_users, int(s.validation_share * len(eligible)))
    held = np.sort(rng.choice(eligible, size, replace=False))
    out = HeldOut(start=first[held], position=last[held])
    last = last.copy()
    last[held] = newest_fresh[last[held] - 1]
    # Whatever lies at or after a user's last target is never an input; its targets end there too.
    end = np.maximum(last, first)
    target = next_fresh(t.item, h.offsets)
    windows = prefixes(first, end, s.length) if s.prefixes else chunks(first, end, s.length, s.chunks)
    lowest = floor[user[windows.start]]
    counts = target[windows.end - 1] >= lowest
    new = Examples(windows=windows.take(np.flatnonzero(counts)), floor=lowest[counts], target=target)
    if newest is None:
        return new, windows.take(np.empty(0, dtype=np.int64)), out
    if s.prefixes:
        return new, windows.take(np.flatnonzero(~counts)), out
    known = np.maximum(newest_fresh[np.minimum(last + 1, floor) - 1], first)  # the last target that is not new
    old = last_windows(first, known, s.length)
    return new, old.take(np.flatnonzero(old.lengths > 0)), out


def _first_after(h: Histories, moment: int) -> I64:
    """[U] first position of each user whose time lies after `moment`; the user's end where there is none."""
    later = np.append(0, np.cumsum(h.time > moment))
    first: I64 = h.offsets[1:] - (later[h.offsets[1:]] - later[h.offsets[:-1]])
    return first
