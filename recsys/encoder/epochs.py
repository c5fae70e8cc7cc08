"""The epochs of a training: softmax over shared negatives, validation on held-out items, the best epoch kept.

Shape letters: V items, D width, N tokens of a batch, B windows of a batch, M positions with a target, K negatives,
R rows of the item table that a batch touches.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from recsys.config import EncoderSettings
from recsys.encoder.average import Average
from recsys.encoder.examples import Examples, HeldOut
from recsys.encoder.loss import Sampler, SharedSoftmax, clashes, sampler, smoothed
from recsys.encoder.model import Encoder
from recsys.encoder.optimizer import RowAdam
from recsys.encoder.sequences import Tokens, Windows, by_length, collate, ragged
from recsys.encoder.validate import recall_at
from recsys.encoder.vocabulary import UNKNOWN
from recsys.features.history import I64

BETAS = (0.9, 0.98)


@dataclass(frozen=True, kw_only=True)
class EpochLog:
    """One epoch. `seconds` and `cpu_seconds` count training, not validation."""

    epoch: int  # from 1
    loss: float  # mean over targets, natural logarithm
    recall: float  # Recall@10 of the held-out items among unseen ones; NaN: nobody held out
    seconds: float
    cpu_seconds: float
    sequences: int


@dataclass(frozen=True)
class Run:
    """What stays the same over the epochs."""

    model: Encoder
    t: Tokens
    examples: Examples
    old: Windows
    held: HeldOut
    settings: EncoderSettings


def epochs(
    run: Run, most: int, increment: bool, rng: np.random.Generator, on_epoch: Callable[[EpochLog], None] | None
) -> list[EpochLog]:
    """Train until validation stops improving, leave the best epoch's weights in the model."""
    s, model = run.settings, run.model
    optimiser = _Optimiser(model, s)
    negatives = sampler(occurrences(run), s.sampling_power, s.negatives)
    best, recall = _weights(model), _recall(run) if increment else -math.inf
    logs: list[EpochLog] = []
    stale = 0
    for epoch in range(1, most + 1):
        began, cpu = time.perf_counter(), time.process_time()
        examples = run.examples.with_replay(run.old, s.replay, rng)
        loss = _epoch(run, examples, optimiser, negatives, rng)
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        size = len(examples.windows.end)
        with optimiser.averaged():
            log = EpochLog(epoch=epoch, loss=loss, recall=_recall(run), seconds=took, cpu_seconds=cpu, sequences=size)
            logs.append(log)
            if not log.recall <= recall:  # NaN, nobody held out: the newest epoch is the best known
                best, recall, stale = _weights(model), log.recall, 0
            else:
                stale += 1
        if on_epoch is not None:
            on_epoch(log)
        if stale >= s.patience:
            break
    model.load_state_dict(best)
    return logs


def _epoch(run: Run, e: Examples, optimiser: _Optimiser, negatives: Sampler, rng: np.random.Generator) -> float:
    """One pass over the windows; the mean loss over all targets."""
    run.model.train()
    s, device = run.settings, run.model.items.device
    total, count = torch.zeros((), dtype=torch.float64, device=device), 0

    def at(values: npt.NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(values).to(device)

    for rows in by_length(e.windows, s.batch, rng):
        w = e.windows.take(rows)
        flat = ragged(w.start, w.lengths)
        if s.prefixes:
            counted, target = np.arange(len(rows)), e.target[w.end - 1]  # [B], [B]
        else:
            counted = np.flatnonzero(e.target[flat] >= np.repeat(e.floor[rows], w.lengths))  # [M]
            target = e.target[flat[counted]]  # [M]
        drawn = negatives.draw(rng)
        wanted = run.t.item[target]  # [M]
        inputs = _masked(run.t.item[flat], s.masking, rng)  # [N]
        touched, local = np.unique(np.concatenate([inputs, wanted, drawn.items]), return_inverse=True)  # [R]
        parts = np.split(local, np.cumsum([len(inputs), len(wanted)]))
        table = run.model.items[at(touched)].detach().requires_grad_()  # [R, D]
        hidden = run.model(collate(run.t, w, flat, parts[0]).to(device), table, newest=s.prefixes)  # [N, D] or [B, D]
        unit = F.normalize(table, dim=-1)
        query = hidden[at(counted)] / s.temperature  # [M, D]
        positive, negative = unit[at(parts[1])], unit[at(parts[2])]  # [M, D], [K, D]
        clash = at(clashes(wanted, drawn.items))
        loss = SharedSoftmax.apply(query, positive, negative, at(drawn.weight), clash)
        if s.smoothing:
            loss = loss + s.smoothing * smoothed(query, positive, negative)
        loss.backward()
        optimiser.step(touched, table)
        total, count = total + loss.detach() * len(wanted), count + len(wanted)
    return float(total) / count


def _masked(items: I64, share: float, rng: np.random.Generator) -> I64:
    """[N] the same with a share of them unknown: a history tells as much without one behaviour or another.

    Source: item masking, Xie et al. 2022 (CL4SRec), section 3.2.2.
    """
    return np.where(rng.random(len(items)) < share, UNKNOWN, items) if share else items


class _Optimiser:
    """Adam for all weights: dense for the Transformer, by touched row for the item table; and their average."""

    def __init__(self, model: Encoder, s: EncoderSettings) -> None:
        rest = {name: weight for name, weight in model.named_parameters() if name != "items"}
        self.dense = torch.optim.Adam(rest.values(), lr=s.lr, betas=BETAS, fused=True)
        self.items = RowAdam(model.items.detach(), s.lr, BETAS)
        self.average = Average(model.items.detach(), rest, s.averaging) if s.averaging else None

    def averaged(self) -> AbstractContextManager[None]:
        """Where the model has the weights to judge and keep: their average, or themselves without one."""
        return nullcontext() if self.average is None else self.average.in_place()

    def step(self, touched: I64, table: torch.Tensor) -> None:
        """One step; `table` [R, D] are the rows `touched` [R] with their gradient. Row 0, unknown, stays zero."""
        grad = table.grad
        if grad is None:
            raise RuntimeError("RowAdam needs a gradient: call backward() first.")
        if touched[0] == UNKNOWN:  # `touched` ascends
            grad[0] = 0.0
        rows = torch.from_numpy(touched).to(grad.device)
        if self.average is not None:
            self.average.before(rows)
        self.items.step(rows, grad)
        self.dense.step()
        self.dense.zero_grad()
        if self.average is not None:
            self.average.after()


def occurrences(run: Run) -> I64:
    """[V] behaviours with each item."""
    counts: I64 = np.bincount(run.t.item, minlength=len(run.model.items))[1:]
    return counts


def _recall(run: Run) -> float:
    return recall_at(10, run.model, run.t, run.held, run.settings.length)


def _weights(model: Encoder) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.state_dict().items()}
