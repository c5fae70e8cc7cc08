"""The epochs of a training: softmax over shared negatives, validation on held-out items, the best epoch kept.

Shape letters: V items, D width, R rows of the item table that a batch touches.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from recsys.config import EncoderSettings
from recsys.encoder.average import Average
from recsys.encoder.checkpoint import Kept, fingerprint, named, under
from recsys.encoder.examples import Examples, HeldOut
from recsys.encoder.loss import Sampler, sampler
from recsys.encoder.model import Encoder
from recsys.encoder.optimizer import RowAdam
from recsys.encoder.progress import EpochLog, Progress
from recsys.encoder.ranks import ALONE, Ranks
from recsys.encoder.sequences import Tokens, Windows, by_length
from recsys.encoder.step import draw, loss_of
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
    ranks: Ranks = ALONE


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
    for weight in run.model.state_dict().values():
        run.ranks.follow(weight)  # machines may round what they draw in different ways
    optimiser = _Optimiser(run.model, run.settings, run.ranks)
    progress = Progress(run.model, optimiser, rng, _judged(run).recall if increment else -math.inf)
    kept = None if checkpoint is None else _restored(run, progress, Kept(checkpoint, _fingerprint(run, most, rng)))
    tell = on_epoch or (lambda _: None)
    for known in progress.logs:
        tell(known)
    negatives = sampler(occurrences(run), run.settings.sampling_power, run.settings.negatives)
    while len(progress.logs) < most and progress.stale < run.settings.patience:
        trained = _trained(run, len(progress.logs) + 1, optimiser, negatives, rng)
        with optimiser.averaged():
            progress.take(replace(trained, **asdict(_judged(run))))
        if kept is not None and run.ranks.rank == 0:
            kept.write(progress.checkpoint())
        tell(progress.logs[-1])
    run.model.load_state_dict(progress.best)
    return progress.logs


def _restored(run: Run, progress: Progress, kept: Kept) -> Kept:
    """`kept`, and where it holds something, `progress` goes on there. TrainingError: processes find not the same."""
    run.ranks.agree("settings, data or versions", f"the fingerprint {kept.fingerprint}")
    found = kept.read()
    if found is not None:
        progress.restore(found)
        if run.ranks.rank == 0:
            event(log, "training goes on from a checkpoint", epochs=len(progress.logs), file=str(kept.file))
    run.ranks.agree("the checkpoint", f"{len(progress.logs)} epochs in {kept.file}")
    return kept


def _trained(run: Run, epoch: int, optimiser: _Optimiser, negatives: Sampler, rng: np.random.Generator) -> EpochLog:
    """Train for one epoch, which is yet to be judged."""
    began, cpu = time.perf_counter(), time.process_time()
    examples = run.examples.with_replay(run.old, run.settings.replay, rng)
    total, count = _epoch(run, examples, optimiser, negatives, rng)
    took, used = time.perf_counter() - began, total.new_tensor(time.process_time() - cpu)
    run.ranks.add([total, used])
    size, loss = len(examples.windows.end), float(total) / count
    unknown = dict.fromkeys(("recall", "ndcg", "coverage"), math.nan)
    return EpochLog(epoch=epoch, loss=loss, seconds=took, cpu_seconds=float(used), sequences=size, **unknown)


def _epoch(
    run: Run, e: Examples, optimiser: _Optimiser, negatives: Sampler, rng: np.random.Generator
) -> tuple[torch.Tensor, int]:
    """One pass over the windows; the sum of the losses of this process's targets, and the number of all targets."""
    run.model.train()
    s, device = run.settings, run.model.items.device
    total, count = torch.zeros((), dtype=torch.float64, device=device), 0
    for rows in by_length(e.windows, s.batch, rng):
        step = draw(run.t, e, rows, s, negatives, rng)
        touched, size, weight = step.touched(), len(step.wanted), 1.0
        table = run.model.items[torch.from_numpy(touched).to(device)].detach().requires_grad_()  # [R, D]
        if run.ranks.world > 1:
            step = step.part(run.ranks.mine(len(rows)), s.prefixes)
            weight = len(step.wanted) / size if len(rows) >= run.ranks.world else 1 / run.ranks.world
        loss = loss_of(step, run.model, run.t, touched, table, s) * weight
        torch.autograd.backward(loss)
        optimiser.step(touched, table)
        total, count = total + loss.detach() * size, count + size
    return total, count


class _Optimiser:
    """Adam for all weights: dense for the Transformer, by touched row for the item table; and their average."""

    def __init__(self, model: Encoder, s: EncoderSettings, ranks: Ranks) -> None:
        rest = {name: weight for name, weight in model.named_parameters() if name != "items"}
        self.dense = torch.optim.Adam(rest.values(), lr=s.lr, betas=BETAS, fused=True)
        self.items = RowAdam(model.items.detach(), s.lr, BETAS)
        self.average = Average(model.items.detach(), rest, s.averaging) if s.averaging else None
        self.rest, self.ranks = tuple(rest.values()), ranks

    def averaged(self) -> AbstractContextManager[None]:
        """Where the model has the weights to judge and keep: their average, or themselves without one."""
        return nullcontext() if self.average is None else self.average.in_place()

    def step(self, touched: I64, table: torch.Tensor) -> None:
        """One step; `table` [R, D] are the rows `touched` [R] with their gradient. Row 0, unknown, stays zero.

        Gradients are those of all processes together.
        """
        grad = table.grad
        if grad is None:
            raise RuntimeError("RowAdam needs a gradient: call backward() first.")
        self.ranks.add([grad, *(weight.grad for weight in self.rest if weight.grad is not None)])
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
    """What the first process finds: all stop after the same epoch."""
    figures = torch.zeros(3, dtype=torch.float64, device=run.model.items.device)
    if run.ranks.rank == 0:
        found = judge(10, run.model, run.t, run.held, run.settings.length)
        figures = figures.new_tensor(astuple(found))
    run.ranks.follow(figures)
    recall, ndcg, coverage = figures.tolist()
    return Judged(recall=recall, ndcg=ndcg, coverage=coverage)


def _fingerprint(run: Run, most: int, rng: np.random.Generator) -> str:
    s, device = run.settings.model_dump(), run.model.items.device.type
    kept = [field.name for field in fields(EpochLog)]
    told = {"settings": s, "most": most, "random": rng.bit_generator.state, "device": device, "kept": kept}
    return fingerprint(told, (run.t, run.examples, run.old, run.held), run.model.state_dict())
