"""One batch of a training: what is drawn for it, the part of it that one process works on, and its loss.

Shape letters: D width, B windows of the batch, N tokens of the batch, M positions with a target, K negatives, R rows of
the item table that the batch touches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from recsys.config import EncoderSettings
from recsys.encoder.examples import Examples
from recsys.encoder.loss import Negatives, Sampler, SharedSoftmax, clashes, smoothed
from recsys.encoder.model import Encoder
from recsys.encoder.sequences import Share, Tokens, Windows, collate, ragged
from recsys.encoder.vocabulary import UNKNOWN
from recsys.features.history import I64


@dataclass(frozen=True, kw_only=True)
class Step:
    """A batch, or a part of one."""

    windows: Windows  # [B]
    flat: I64  # [N] their positions, one window after the other
    inputs: I64  # [N] items that are read; UNKNOWN: none, or hidden
    place: I64  # [M] whose vector has a target: of N tokens, or of B windows with `prefixes`
    position: I64  # [M] where that vector's newest behaviour lies among all tokens
    target: I64  # [M] where the wanted item is met among all tokens
    wanted: I64  # [M] items
    negatives: Negatives
    share: Share | None = None  # what part of a batch this is

    def touched(self) -> I64:
        """[R] rows of the item table that it reads, ascending."""
        return np.unique(np.concatenate([self.inputs, self.wanted, self.negatives.items]))

    def part(self, mine: I64, prefixes: bool) -> Step:
        """The windows at `mine`, ascending, with their targets and all negatives."""
        lengths, size = self.windows.lengths, len(self.windows.end)
        tokens = ragged((np.cumsum(lengths) - lengths)[mine], lengths[mine])
        held = mine if prefixes else tokens
        own = np.isin(self.place, held)
        share = Share(
            tokens=torch.from_numpy(tokens), windows=torch.from_numpy(mine), of_tokens=len(self.flat), of_windows=size
        )
        return replace(
            self,
            windows=self.windows.take(mine),
            flat=self.flat[tokens],
            inputs=self.inputs[tokens],
            place=np.searchsorted(held, self.place[own]),
            position=self.position[own],
            target=self.target[own],
            wanted=self.wanted[own],
            share=share,
        )


def draw(t: Tokens, e: Examples, rows: I64, s: EncoderSettings, negatives: Sampler, rng: np.random.Generator) -> Step:
    """The windows of `e` at `rows` with their targets, with negatives and with some inputs hidden."""
    w = e.windows.take(rows)
    flat = ragged(w.start, w.lengths)
    if s.prefixes:
        place, position = np.arange(len(rows)), w.end - 1
    else:
        place = np.flatnonzero(e.target[flat] >= np.repeat(e.floor[rows], w.lengths))
        position = flat[place]
    target = e.target[position]
    drawn = negatives.draw(rng)
    inputs = _masked(t.item[flat], s.masking, rng)
    return Step(
        windows=w,
        flat=flat,
        inputs=inputs,
        place=place,
        position=position,
        target=target,
        wanted=t.item[target],
        negatives=drawn,
    )


def loss_of(step: Step, model: Encoder, t: Tokens, touched: I64, table: Tensor, s: EncoderSettings) -> Tensor:
    """[] mean loss over the targets of `step`; `table` [R, D] are the rows `touched` [R] of the item table."""

    def at(values: npt.NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(values).to(table.device)

    def row(items: I64) -> I64:
        return np.searchsorted(touched, items)

    batch = replace(collate(t, step.windows, step.flat, row(step.inputs)), share=step.share).to(table.device)
    hidden = model(batch, table, newest=s.prefixes)  # [N, D] or [B, D]
    unit = F.normalize(table, dim=-1)
    query = hidden[at(step.place)] / s.temperature  # [M, D]
    positive, negative = unit[at(row(step.wanted))], unit[at(row(step.negatives.items))]  # [M, D], [K, D]
    clash = at(clashes(step.wanted, step.negatives.items))
    loss: Tensor = SharedSoftmax.apply(query, positive, negative, at(step.negatives.weight), clash)
    if s.smoothing:
        loss = loss + s.smoothing * smoothed(query, positive, negative)
    if s.type_weight or s.value_weight:
        value = at(t.value[step.target].astype(np.float32))
        loss = loss + model.beside(query, positive, at(t.behaviour[step.position + 1]), value)
    return loss


def _masked(items: I64, share: float, rng: np.random.Generator) -> I64:
    """[N] the same with a share of them unknown: a history tells as much without one behaviour or another.

    Source: item masking, Xie et al. 2022 (CL4SRec), section 3.2.2.
    """
    return np.where(rng.random(len(items)) < share, UNKNOWN, items) if share else items
