"""Histories as the model's input: tokens, windows, targets, and batches sorted by length. NumPy and tensors, no Spark.

Shape letters: E behaviours of all users, W windows, B windows of a batch, N tokens of a batch, L longest window of a
batch, M positions with a target.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from recsys.encoder.vocabulary import UNKNOWN, Vocabulary
from recsys.features.history import F64, I64, MISSING, Histories

GAPS = 40  # log2 buckets of seconds; the last would be 17 thousand years
FIRST = 0  # gap of a window's first token: nothing lies before it


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The behaviours of some histories in the model's terms, [E] each."""

    item: I64  # vocabulary index; 0: none or unknown
    behaviour: I64  # code + 1; 0: not known to the model
    gap: I64  # bucket of the time since the behaviour before, 1 ... GAPS - 1
    ahead: I64  # bucket of the time until the user's next behaviour, 1 ... GAPS - 1; 0: there is none
    time: I64  # microseconds since 1970 UTC
    value: F64  # a rating's; NaN: none


@dataclass(frozen=True, kw_only=True)
class Windows:
    """W stretches of behaviours: window w is [start[w], end[w])."""

    start: I64  # [W]
    end: I64  # [W]

    @property
    def lengths(self) -> I64:
        """[W] behaviours of each window."""
        return self.end - self.start

    def take(self, rows: I64) -> Windows:
        """The windows at `rows`, in that order."""
        return Windows(start=self.start[rows], end=self.end[rows])


@dataclass(frozen=True, kw_only=True)
class Share:
    """Which tokens and windows of a batch one process has, where several work on it."""

    tokens: Tensor  # [N] places among all tokens, ascending
    windows: Tensor  # [B] places among all windows, ascending
    of_tokens: int
    of_windows: int


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B windows without padding, one after the other."""

    item: Tensor  # [N] row of the table that is passed beside the batch
    behaviour: Tensor  # [N]
    gap: Tensor  # [N]
    ahead: Tensor  # [N]
    back: Tensor  # [N] position counted from the window's end, 0 = newest
    lengths: Tensor  # [B]
    longest: int  # L
    slots: Tensor | None  # [N] place in a padded [B * L]; None: all windows are equally long
    share: Share | None = None  # None: it is a whole batch

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        if device.type == "cpu":
            return self
        names = ("item", "behaviour", "gap", "ahead", "back", "lengths")
        moved = {name: sent(getattr(self, name), device) for name in names}
        slots = None if self.slots is None else sent(self.slots, device)
        share = self.share
        if share is not None:
            share = replace(share, tokens=sent(share.tokens, device), windows=sent(share.windows, device))
        return Batch(**moved, longest=self.longest, slots=slots, share=share)


def sent(values: Tensor, device: torch.device) -> Tensor:
    """The values on a device; a GPU gets them from pinned memory, or the copy would wait for all work queued there."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def tokens(h: Histories, vocabulary: Vocabulary, behaviours: int) -> Tokens:
    """Translate histories; `behaviours` is the number of behaviour types that the model knows.

    Gaps are bucketed as `bucket` does; what follows out of order in time counts as no gap.
    """
    rows = np.append(vocabulary.index(h.items), np.int32(UNKNOWN)).astype(np.int64)  # MISSING = -1 reads the last
    known = np.where(h.behaviour < behaviours, h.behaviour, MISSING)
    gap = bucket(np.diff(h.time, prepend=h.time[:1]))
    ahead = np.append(gap[1:], FIRST)[: len(gap)]
    ahead[h.offsets[1:][h.lengths > 0] - 1] = FIRST
    return Tokens(
        item=rows[h.item], behaviour=known.astype(np.int64) + 1, gap=gap, ahead=ahead, time=h.time, value=h.value
    )


def bucket(micros: I64) -> I64:
    """1 + floor(log2(1 + seconds)), at most GAPS - 1; a negative time counts as 0."""
    seconds = np.maximum(micros, 0) / 1e6
    return np.minimum(1 + np.log2(1.0 + seconds).astype(np.int64), GAPS - 1)


def ragged(start: I64, lengths: I64) -> I64:
    """[sum(lengths)] start[w], start[w] + 1, ... for each window w, one after the other."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(start - before, lengths) + np.arange(int(lengths.sum()), dtype=np.int64)


def last_windows(start: I64, end: I64, length: int) -> Windows:
    """The newest `length` behaviours of each stretch [start, end)."""
    return Windows(start=np.maximum(start, end - length), end=end)


def chunks(start: I64, end: I64, length: int, most: int) -> Windows:
    """Up to `most` windows of `length` behaviours a stretch, cut from its newest end; empty stretches give none."""
    count = np.minimum(-(-(end - start) // length), most)
    number = ragged(np.zeros_like(count), count)
    last = np.repeat(end, count) - number * length
    return Windows(start=np.maximum(np.repeat(start, count), last - length), end=last)


def prefixes(start: I64, end: I64, length: int) -> Windows:
    """For each position p of each stretch [start, end) the window of up to `length` behaviours that ends with p."""
    first = np.repeat(start, end - start)
    stop = ragged(start, end - start) + 1
    return Windows(start=np.maximum(first, stop - length), end=stop)


def fresh(item: I64, user: I64) -> I64:
    """[E] the vocabulary index where a user meets an item for the first time, else 0.

    Seen items are never recommended, so a repetition is no target: a funnel of view, cart and purchase of one item
    teaches what comes after it.
    """
    key = user * (int(item.max(initial=0)) + 1) + item
    _, first = np.unique(key, return_index=True)
    found = np.zeros_like(item)
    found[first] = item[first]
    return found


def next_fresh(item: I64, offsets: I64) -> I64:
    """[E] position of the first behaviour after this one whose item is new to the user by then; -1: there is none.

    Anything between the two repeats an item that is already seen, so it is the next thing worth recommending.
    """
    size = len(item)
    lengths = np.diff(offsets)
    user = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    places = np.where(fresh(item, user) > UNKNOWN, np.arange(size, dtype=np.int64), size)
    following = np.append(np.minimum.accumulate(places[::-1])[::-1], size)[1:]
    return np.where(following < np.repeat(offsets[1:], lengths), following, -1)


def by_length(windows: Windows, batch: int, rng: np.random.Generator) -> Iterator[I64]:
    """Rows of `windows` in batches of nearly equal length, in random order within a length and among batches."""
    rows = rng.permutation(len(windows.end))
    rows = rows[np.argsort(windows.lengths[rows], kind="stable")]
    cuts = np.arange(0, len(rows), batch)
    for first in cuts[rng.permutation(len(cuts))]:
        yield rows[first : first + batch]


def collate(t: Tokens, w: Windows, flat: I64, items: I64, at: I64 | None = None) -> Batch:
    """The tokens at `flat` = ragged(w.start, w.lengths) as tensors; `items` [N]: their rows in the caller's table.

    `at` [B] says when each window's next behaviour is asked for; without it, it is the one that the tokens know.
    """
    lengths = w.lengths
    size, longest = len(lengths), int(lengths.max(initial=0))
    stop = np.cumsum(lengths)
    gap = t.gap[flat]
    gap[stop - lengths] = FIRST
    ahead = t.ahead[flat]
    if at is not None:
        ahead[stop - 1] = bucket(at - t.time[w.end - 1])
    slots = None
    if int(stop[-1]) != size * longest:
        slots = torch.from_numpy(ragged(np.arange(size, dtype=np.int64) * longest, lengths))
    return Batch(
        item=torch.from_numpy(items),
        behaviour=torch.from_numpy(t.behaviour[flat]),
        gap=torch.from_numpy(gap),
        ahead=torch.from_numpy(ahead),
        back=torch.from_numpy(np.repeat(stop, lengths) - 1 - np.arange(len(flat))),
        lengths=torch.from_numpy(lengths),
        longest=longest,
        slots=slots,
    )
