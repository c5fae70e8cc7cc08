"""Training of the ranker: Adam, early stopping on the newest slice. NumPy and torch.

Drawn negatives make it a noise-contrastive estimation (Gutmann and Hyvarinen 2010, section 2): with q the chance
that the request draws an item, the cross-entropy of logit - ln q is least where the logit is the log probability of the
item itself. Without ln q popular items, which are drawn more often, would be held back. Pairs of a request are
compared by the same numbers (decision 026).

Shape letters: N examples, F features, I inputs, T heads, B examples of a batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch

from recsys.config import RankerSettings
from recsys.errors import NoDataError
from recsys.features.history import F32, I32, I64
from recsys.ranking import places
from recsys.ranking.attention import Attention, sequences
from recsys.ranking.fit import fit_inputs
from recsys.ranking.gate import look
from recsys.ranking.heads import Heads, alone, heads_of
from recsys.ranking.model import Ranker, mixture
from recsys.ranking.objective import batches, objective
from recsys.ranking.recent import Recent
from recsys.ranking.start import check_start, fresh
from recsys.ranking.trained import ATTENDING, TrainedRanker
from recsys.ranking.validation import Bool, area_under_curve, logloss, split


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """N labelled pairs, in the order of their time and request."""

    x: F32  # [N, F] plain features, NaN: unknown
    y: F32  # [N] 0 or 1
    request: I64  # [N] pairs of one request share a number
    at: I64  # [N] time of the request, microseconds since 1970 UTC
    user: I64  # [N] pairs of one user share a number
    offset: F32  # [N] ln of the chance that the request draws the item as a negative; 0: shown, not drawn
    outcomes: Bool | None = None  # [N, T] each target behaviour that the item got; None: not asked for
    position: I32 | None = None  # [N] place in the shown list, from 1; less: unknown, or no list; None: all less
    recent: Recent | None = None  # of the N pairs what a ranker with attention reads; None: not asked for
    behaviours: tuple[str, ...] = ()  # names of the codes in `recent`

    def read(self, rows: Bool | I64) -> tuple[F32, Recent | None]:
        """What a ranker scores, of some of the examples."""
        return self.x[rows], None if self.recent is None else self.recent.take(rows)

    def taken_off(self, ranker: TrainedRanker, rows: Bool | I64) -> F32:
        """What training takes off the log odds of some of the examples, and scores do not know: draws and places."""
        own = self.offset[rows]
        return own if self.position is None else own - ranker.placed(self.position[rows])

    def attention(self, length: int) -> Attention | None:
        """The shape of a ranker's attention; None: `length` is 0. NoDataError: the examples have other behaviours."""
        found = 0 if self.recent is None else self.recent.length
        if length and found != length:
            raise NoDataError(
                f"The examples have {found} behaviours of each request, ranker.attention asks for {length}."
            )
        return Attention(length=length, behaviours=self.behaviours) if length else None

    def heads(self, weights: dict[str, float]) -> Heads:
        """What each head learns, T `weights` by behaviour; without any, one head for all.

        NoDataError: the examples do not tell the behaviours apart.
        """
        if not weights:
            return alone(self.y)
        if self.outcomes is None or self.outcomes.shape[1] != len(weights):
            raise NoDataError(f"The examples do not tell {', '.join(weights)} apart, which ranker.tasks gives heads.")
        return heads_of(self.outcomes, self.request, tuple(weights.values()))


@dataclass(frozen=True, kw_only=True)
class EpochLog:
    """One epoch. Epoch 0 is the model before training, where it is a warm start. NaN: not defined."""

    epoch: int
    loss: float  # mean training loss
    validation_logloss: float
    validation_auc: float  # NaN where the newest slice holds one class only
    examples: int  # trained on in this epoch
    seconds: float  # validation included

    @property
    def speed(self) -> float:
        """Examples a second; NaN in epoch 0, which trains on none."""
        return self.examples / max(self.seconds, 1e-9) if self.examples else float("nan")


def train_ranker(
    examples: Examples,
    settings: RankerSettings,
    seed: int,
    names: tuple[str, ...],
    start: TrainedRanker | None = None,
    on_epoch: Callable[[EpochLog], None] | None = None,
    device: str = "cpu",
    dropped: Collection[str] = (),
) -> tuple[TrainedRanker, list[EpochLog]]:
    """Train on examples whose F features are `names`; those `dropped` are not read. With `start` its own choice holds.

    The newest `settings.validation` of the examples, in whole requests, are held out; training ends after
    `settings.patience` epochs without a lower logloss on them, and the best epoch is returned. With `start` only the
    given rows are trained on, for at most `increment_epochs`, with its inputs and shape; where no epoch is better than
    `start` on the newest slice, a copy of `start` is returned. Same input and seed: same weights on one machine.

    Raises NoDataError: no example of one class, or all at one moment. BundleError: as `check_start`.
    """
    older = split(examples.request, examples.at, settings.validation)
    y = examples.y[older]
    if not 0 < y.sum() < len(y):
        raise NoDataError(
            f"The {len(y)} training examples hold {int(y.sum())} positives: both classes are needed. "
            "Widen ranker.days or check the target behaviours."
        )
    check_start(start, settings, names, examples.behaviours)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        heads = examples.heads(dict(sorted(settings.tasks.items())) if start is None else start.shape.weights)
        if not all(heads.of(rows).asked.any() for rows in (older, ~older)):
            raise NoDataError("No request holds both what a head is to predict and what it is not: widen ranker.days.")
        attention = examples.attention(settings.attention)
        if start is None:
            fitted = fit_inputs(examples.x[older], names, settings.operations, dropped)
            ranker = fresh(fitted, heads.of(older), attention, settings)
        else:
            ranker = deepcopy(start)
        ranker.model.to(device)
        inputs, labels, weight, offset = (
            torch.from_numpy(values).to(device)
            for values in (ranker.inputs.apply(examples.x), heads.labels, heads.weight, examples.offset)
        )
        request = torch.from_numpy(examples.request)
        position = examples.position if settings.positions else None
        told = examples.recent if attention else None, position, examples.y
        run = _Run(ranker.model, inputs, labels, weight, offset, request, *told, older, settings)
        logs = _fit(run, warm=start is not None, on_epoch=on_epoch)
    seen = look(examples.x, examples.y, examples.request)
    return replace(ranker, shape=ranker.shape.model_copy(update={"seen": seen})), logs


@dataclass(frozen=True, eq=False)
class _Run:
    model: Ranker
    inputs: torch.Tensor  # [N, I]
    labels: torch.Tensor  # [N, T]
    weight: torch.Tensor  # [N, T]
    offset: torch.Tensor  # [N]
    request: torch.Tensor  # [N]
    recent: Recent | None  # of N pairs
    position: I32 | None  # [N]
    y: F32  # [N]
    older: Bool  # [N]
    settings: RankerSettings

    def logits(self, rows: torch.Tensor) -> torch.Tensor:
        """[B, T] log odds that each of these examples is the head's label and not a draw."""
        own = rows.cpu().numpy()
        past = None if self.recent is None else sequences(self.recent.take(own), rows.device)
        logits = self.model.heads(self.inputs[rows], past) - self.offset[rows, None]
        if self.position is None:
            return logits
        return logits + self.model.placed(torch.from_numpy(self.position[own]).to(rows.device))[:, None]

    def loss(self, rows: torch.Tensor) -> torch.Tensor:
        """Of a batch."""
        learned, request = self.model.log_variance, self.request[rows.cpu()].to(rows.device)
        told = self.logits(rows), self.labels[rows], self.weight[rows], request
        return objective(*told, self.settings.pairwise, learned)

    def validate(self) -> tuple[float, float]:
        """Logloss and AUC on the newest slice, of the heads together."""
        self.model.eval()
        newest = torch.from_numpy(np.flatnonzero(~self.older)).to(self.inputs.device)
        parts = torch.split(newest, len(newest) if self.recent is None else ATTENDING)
        with torch.inference_mode():
            logits = torch.cat([self.logits(part) for part in parts])
            probability = torch.sigmoid(mixture(logits, self.model.shares)).cpu().numpy()
        heads = Heads(labels=self.labels[newest].cpu().numpy(), weight=self.weight[newest].cpu().numpy())
        return logloss(*heads.spread(probability)), area_under_curve(self.y[~self.older], probability)


def _fit(run: _Run, *, warm: bool, on_epoch: Callable[[EpochLog], None] | None) -> list[EpochLog]:
    """Train `run.model` in place and leave it at its best epoch."""
    optimiser = places.optimiser(run.model, run.model.places, run.settings.lr, run.settings.weight_decay)
    logs: list[EpochLog] = []
    best, weights = float("inf"), deepcopy(run.model.state_dict())
    epochs = run.settings.increment_epochs if warm else run.settings.epochs
    for epoch in range(0 if warm else 1, epochs + 1):
        began = time.monotonic()
        loss, examples = _epoch(run, optimiser) if epoch else (float("nan"), 0)
        held, auc = run.validate()
        log = EpochLog(
            epoch=epoch,
            loss=loss,
            validation_logloss=held,
            validation_auc=auc,
            examples=examples,
            seconds=time.monotonic() - began,
        )
        logs.append(log)
        if on_epoch is not None:
            on_epoch(log)
        if held < best:
            best, weights = held, deepcopy(run.model.state_dict())
        elif epoch - best_epoch(logs) >= run.settings.patience:
            break
    run.model.load_state_dict(weights)
    run.model.eval()
    return logs


def best_epoch(logs: list[EpochLog]) -> int:
    """The epoch with the lowest validation logloss, whose weights the ranker has."""
    return min(logs, key=lambda log: log.validation_logloss).epoch


def _epoch(run: _Run, optimiser: torch.optim.Optimizer) -> tuple[float, int]:
    """One pass over the older examples in random order: mean loss and examples seen."""
    run.model.train()
    asked = (run.weight > 0).any(dim=1).cpu().numpy()
    rows = torch.from_numpy(np.flatnonzero(run.older & asked))
    total, seen = 0.0, 0
    for drawn in batches(rows, run.request, run.settings.batch, whole=run.settings.pairwise > 0):
        batch = drawn.to(run.inputs.device)
        if len(batch) < 2:  # batch norm has no variance of one example; it comes in another epoch
            continue
        loss = run.loss(batch)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total, seen = total + loss.item() * len(batch), seen + len(batch)
    return total / max(seen, 1), seen
