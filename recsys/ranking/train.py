"""Training of the ranker: Adam, binary cross-entropy, early stopping on the newest slice. NumPy and torch.

Drawn negatives make it a noise-contrastive estimation (Gutmann and Hyvarinen 2010, section 2): with q the chance
that the request draws an item, the cross-entropy of logit - ln q is least where the logit is the log probability of the
item itself. Without ln q popular items, which are drawn more often, would be held back.

Shape letters: N examples, F features, I inputs, B examples of a batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from recsys.config import RankerSettings, SelectionSettings
from recsys.errors import BundleError, NoDataError
from recsys.features.history import F32, I64
from recsys.ranking.fit import fit_inputs
from recsys.ranking.gate import look
from recsys.ranking.inputs import Inputs
from recsys.ranking.model import Ranker
from recsys.ranking.trained import Shape, TrainedRanker
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
    check_start(start, settings, names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if start is None:
            ranker = _fresh(fit_inputs(examples.x[older], names, settings.operations, dropped), settings)
        else:
            ranker = deepcopy(start)
        ranker.model.to(device)
        inputs, labels, offset = (
            torch.from_numpy(values).to(device)
            for values in (ranker.inputs.apply(examples.x), examples.y, examples.offset)
        )
        run = _Run(ranker.model, inputs, labels, offset, older, settings)
        logs = _fit(run, warm=start is not None, on_epoch=on_epoch)
    seen = look(examples.x, examples.y, examples.request)
    return replace(ranker, shape=ranker.shape.model_copy(update={"seen": seen})), logs


def check_start(start: TrainedRanker | None, settings: RankerSettings, names: tuple[str, ...]) -> None:
    """BundleError: the ranker to start from has other features than `names`, other operations or another selection."""
    if start is None:
        return
    if start.names != names:
        changed = sorted(set(start.names) ^ set(names)) or "the order"
        raise BundleError(f"The ranker to start from has other features ({changed}): train from the beginning.")
    chosen = start.shape.selection.settings if start.shape.selection else SelectionSettings()
    asked = {"ranker.operations": settings.operations, "ranker.selection": settings.selection}
    learned = {"ranker.operations": start.shape.operations or (), "ranker.selection": chosen}
    if other := [key for key, value in asked.items() if value != learned[key]]:
        raise BundleError(
            f"The ranker to start from was trained with other {' and '.join(other)} than the settings have: "
            "train it from the beginning (jobs/train_ranker.py --full), or set what it was trained with."
        )


def held_out(ranker: TrainedRanker, examples: Examples, settings: RankerSettings) -> tuple[F32, F32]:
    """Of the examples that training was stopped on: labels, and the chance that each is a label and not a draw."""
    newest = ~split(examples.request, examples.at, settings.validation)
    logits = ranker.logits(examples.x[newest]) - examples.offset[newest]
    return examples.y[newest], (1 / (1 + np.exp(-np.clip(logits, -50, 50)))).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Run:
    model: Ranker
    inputs: torch.Tensor  # [N, I]
    labels: torch.Tensor  # [N]
    offset: torch.Tensor  # [N]
    older: Bool  # [N]
    settings: RankerSettings

    def logits(self, rows: torch.Tensor) -> torch.Tensor:
        """Log odds that each of these examples is a label and not a draw."""
        logits: torch.Tensor = self.model(self.inputs[rows]) - self.offset[rows]
        return logits

    def validate(self) -> tuple[float, float]:
        """Logloss and AUC on the newest slice."""
        self.model.eval()
        newest = torch.from_numpy(~self.older).to(self.inputs.device)
        with torch.inference_mode():
            probability = torch.sigmoid(self.logits(newest)).cpu().numpy()
        y = self.labels[newest].cpu().numpy()
        return logloss(y, probability), area_under_curve(y, probability)


def _fresh(inputs: Inputs, settings: RankerSettings) -> TrainedRanker:
    every = len(inputs.plain) == len(inputs.names)
    shape = Shape(
        names=inputs.names,
        indicator=tuple(inputs.standardisation.indicator.tolist()),
        plain=None if every else tuple(inputs.plain.tolist()),
        blocks=inputs.blocks or None,
        operations=settings.operations or None,
        hidden=settings.hidden,
        cross=settings.cross,
        dropout=settings.dropout,
    )
    return TrainedRanker(
        shape=shape, inputs=inputs, model=Ranker(inputs.width, shape.hidden, shape.cross, shape.dropout)
    )


def _fit(run: _Run, *, warm: bool, on_epoch: Callable[[EpochLog], None] | None) -> list[EpochLog]:
    """Train `run.model` in place and leave it at its best epoch."""
    optimiser = torch.optim.Adam(run.model.parameters(), lr=run.settings.lr, weight_decay=run.settings.weight_decay)
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
    rows = torch.from_numpy(np.flatnonzero(run.older))
    order = rows[torch.randperm(len(rows))].to(run.inputs.device)
    total, seen = 0.0, 0
    for batch in torch.split(order, run.settings.batch):
        if len(batch) < 2:  # batch norm has no variance of one example; it comes in another epoch
            continue
        loss = binary_cross_entropy_with_logits(run.logits(batch), run.labels[batch])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total, seen = total + loss.item() * len(batch), seen + len(batch)
    return total / max(seen, 1), seen
