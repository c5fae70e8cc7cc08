"""The epochs of a training: softmax over shared negatives, validation on held-out items, the best epoch kept.

Shape letters: V items, D width, N tokens of a batch, B windows of a batch, M positions with a target, K negatives,
R rows of the item table that a batch touches.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from recsys.config import EncoderSettings
from recsys.encoder.average import Average
from recsys.encoder.checkpoint import Kept, fingerprint, named, under
from recsys.encoder.examples import Examples, HeldOut
from recsys.encoder.loss import Sampler, SharedSoftmax, clashes, sampler, smoothed
from recsys.encoder.model import Encoder
from recsys.encoder.optimizer import RowAdam
from recsys.encoder.progress import EpochLog, Progress
from recsys.encoder.sequences import Tokens, Windows, by_length, collate, ragged
from recsys.encoder.validate import Judged, judge
from recsys.encoder.vocabulary import UNKNOWN
from recsys.features.history import I64
from recsys.log import event

BETAS = (0.9, 0.98)
log = logging.getLogger(__name__)


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
    run: Run,
    most: int,
    increment: bool,
    rng: np.random.Generator,
    on_epoch: Callable[[EpochLog], None] | None,
    checkpoint: Path | None = None,
) -> list[EpochLog]:
    """Train until validation stops improving, leave the best epoch's weights in the model.

    The state after each epoch is kept in the file `checkpoint`. Where it holds one of this very training, the epochs
    that it knows are told to `on_epoch` again, and training goes on from there as if it had never been cut off.
    """
    optimiser = _Optimiser(run.model, run.settings)
    progress = Progress(run.model, optimiser, rng, _judged(run).recall if increment else -math.inf)
    kept = None if checkpoint is None else Kept(checkpoint, _fingerprint(run, most, rng))
    if kept is not None and (found := kept.read()) is not None:
        progress.restore(found)
        event(log, "training goes on from a checkpoint", epochs=len(progress.logs), file=str(checkpoint))
    tell = on_epoch or (lambda _: None)
    for known in progress.logs:
        tell(known)
    negatives = sampler(occurrences(run), run.settings.sampling_power, run.settings.negatives)
    while len(progress.logs) < most and progress.stale < run.settings.patience:
        trained = _trained(run, len(progress.logs) + 1, optimiser, negatives, rng)
        with optimiser.averaged():
            progress.take(replace(trained, **asdict(_judged(run))))
        if kept is not None:
            kept.write(progress.checkpoint())
        tell(progress.logs[-1])
    run.model.load_state_dict(progress.best)
    return progress.logs


def _trained(run: Run, epoch: int, optimiser: _Optimiser, negatives: Sampler, rng: np.random.Generator) -> EpochLog:
    """Train for one epoch, which is yet to be judged."""
    began, cpu = time.perf_counter(), time.process_time()
    examples = run.examples.with_replay(run.old, run.settings.replay, rng)
    loss = _epoch(run, examples, optimiser, negatives, rng)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    size = len(examples.windows.end)
    unknown = dict.fromkeys(("recall", "ndcg", "coverage"), math.nan)
    return EpochLog(epoch=epoch, loss=loss, seconds=took, cpu_seconds=cpu, sequences=size, **unknown)


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

    def state(self) -> dict[str, torch.Tensor]:
        """All that it remembers, by name."""
        found = named("items", self.items.state())
        for number, moments in self.dense.state_dict()["state"].items():
            found |= named(f"dense.{number}", moments)
        return found if self.average is None else found | named("average", self.average.state())

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on where `state` was taken; the weights are the caller's to restore."""
        dense = under("dense", state)
        moments = {int(number): under(number, dense) for number in {name.split(".")[0] for name in dense}}
        self.dense.load_state_dict({**self.dense.state_dict(), "state": moments})
        self.items.restore(under("items", state))
        if self.average is not None:
            self.average.restore(under("average", state))


def occurrences(run: Run) -> I64:
    """[V] behaviours with each item."""
    counts: I64 = np.bincount(run.t.item, minlength=len(run.model.items))[1:]
    return counts


def _judged(run: Run) -> Judged:
    return judge(10, run.model, run.t, run.held, run.settings.length)


def _fingerprint(run: Run, most: int, rng: np.random.Generator) -> str:
    s, device = run.settings.model_dump(), run.model.items.device.type
    kept = [field.name for field in fields(EpochLog)]
    told = {"settings": s, "most": most, "random": rng.bit_generator.state, "device": device, "kept": kept}
    return fingerprint(told, (run.t, run.examples, run.old, run.held), run.model.state_dict())
