"""Training: next new item, softmax over shared negatives, validation on held-out last items, best epoch kept.

Shape letters: V items, D width, N tokens of a batch, M positions with a target, R rows of the item table that a batch
touches, X users held out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from recsys.config import EncoderSettings
from recsys.encoder.affinity import crowds
from recsys.encoder.content import Content, aligned, guess
from recsys.encoder.examples import Examples, HeldOut, split
from recsys.encoder.forward import precision
from recsys.encoder.increment import check, extended, grown
from recsys.encoder.loss import Sampler, SharedSoftmax, clashes, sampler, smoothed
from recsys.encoder.model import Encoder
from recsys.encoder.optimizer import RowAdam
from recsys.encoder.sequences import Tokens, Windows, by_length, collate, ragged, tokens
from recsys.encoder.trained import TrainedEncoder, unit_vectors
from recsys.encoder.validate import recall_at
from recsys.encoder.vocabulary import UNKNOWN, Vocabulary
from recsys.errors import ConfigError, NoDataError
from recsys.features.history import I64, Histories

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


def train(
    h: Histories,
    behaviours: tuple[str, ...],
    settings: EncoderSettings,
    seed: int,
    start: TrainedEncoder | None = None,
    on_epoch: Callable[[EpochLog], None] | None = None,
    content: Content | None = None,
) -> tuple[TrainedEncoder, list[EpochLog]]:
    """Train on `h`, or continue from `start` on what is newer than it, with `settings.replay` of the older.

    Items of `content` that nobody has met follow the learned ones in the vocabulary, with vectors guessed from it; an
    increment begins without the guesses of `start`, and new items begin where their content says.

    On a CPU the same seed, input and number of threads give the same bits. An increment that never beats its own
    beginning on the held-out items returns that beginning, with the new items at their initial vectors. The result
    lies on the CPU, wherever it was trained.

    Raises NoDataError: no history holds two different items (with `start`: one newer than it). BundleError: `start`
    does not fit `settings` or `behaviours`. ConfigError: a GPU is asked for, and PyTorch sees none.
    """
    device = training_device(settings.device)
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    if start is not None:
        check(start, settings, behaviours)
        start = start.without_guesses()
    vocabulary = Vocabulary(()).grow(h.items) if start is None else start.vocabulary.grow(h.items)
    t = tokens(h, vocabulary, len(behaviours))
    examples, old, held = split(h, t, settings, rng, None if start is None else start.newest)
    if not len(examples.windows.end):
        newer = "" if start is None else " newer than the encoder to continue from"
        raise NoDataError(f"None of {h.users} histories holds two different items{newer}: there is nothing to learn.")
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):  # layers draw from the caller's state when they are made
        model = Encoder(settings, len(vocabulary), len(behaviours), generator)
        if start is not None:
            found = guess(content, start.vocabulary, start.item_vectors(), rng) if content else None
            new = vocabulary.items[len(start.vocabulary) :]
            grown(start, model, t, h.offsets, generator, aligned(found, new, settings.dim))
        run = _Run(model.to(device), t, examples, old, held, settings)
        torch.manual_seed(seed)
        most = settings.epochs if start is None else settings.increment_epochs
        with precision(device, inference=False):
            logs = _epochs(run, most, start is not None, rng, on_epoch)
    newest = max(int(h.time.max()), start.newest if start is not None else int(h.time.min()))
    return _completed(run, vocabulary, behaviours, newest, content, rng), logs


def _completed(
    run: _Run,
    vocabulary: Vocabulary,
    behaviours: tuple[str, ...],
    newest: int,
    content: Content | None,
    rng: np.random.Generator,
) -> TrainedEncoder:
    """What was trained, on the CPU, with the items that only `content` knows behind the learned ones."""
    model, learned = run.model.cpu().eval(), len(vocabulary)
    if content is not None:
        found = guess(content, vocabulary, unit_vectors(model), rng)
        vocabulary, model = vocabulary.grow(found.items), extended(model, torch.from_numpy(found.vectors))
    return TrainedEncoder(
        settings=run.settings,
        vocabulary=vocabulary,
        behaviours=behaviours,
        model=model,
        learned=learned,
        newest=newest,
        crowd=crowds(unit_vectors(model), _occurrences(run), run.settings.kernel, rng),
    )


def training_device(asked: str) -> torch.device:
    """The device behind `encoder.device`. ConfigError: a GPU is asked for, and PyTorch sees none."""
    seen = torch.cuda.is_available()
    if asked == "cuda" and not seen:
        raise ConfigError(
            f"encoder.device is cuda, but PyTorch {torch.__version__} sees no GPU. Install a CUDA build and a driver,"
            " or set encoder.device=cpu."
        )
    return torch.device("cuda" if asked != "cpu" and seen else "cpu")


@dataclass(frozen=True)
class _Run:
    """What stays the same over the epochs."""

    model: Encoder
    t: Tokens
    examples: Examples
    old: Windows
    held: HeldOut
    settings: EncoderSettings


def _epochs(
    run: _Run, most: int, increment: bool, rng: np.random.Generator, on_epoch: Callable[[EpochLog], None] | None
) -> list[EpochLog]:
    """Train until validation stops improving, leave the best epoch's weights in the model."""
    s, model = run.settings, run.model
    optimiser = _Optimiser(model, s)
    negatives = sampler(_occurrences(run), s.sampling_power, s.negatives)
    best, recall = _weights(model), _recall(run) if increment else -math.inf
    logs: list[EpochLog] = []
    stale = 0
    for epoch in range(1, most + 1):
        began, cpu = time.perf_counter(), time.process_time()
        examples = run.examples.with_replay(run.old, s.replay, rng)
        loss = _epoch(run, examples, optimiser, negatives, rng)
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        size = len(examples.windows.end)
        log = EpochLog(epoch=epoch, loss=loss, recall=_recall(run), seconds=took, cpu_seconds=cpu, sequences=size)
        logs.append(log)
        if on_epoch is not None:
            on_epoch(log)
        if not log.recall <= recall:  # NaN, nobody held out: the newest epoch is the best known
            best, recall, stale = _weights(model), log.recall, 0
        else:
            stale += 1
        if stale >= s.patience:
            break
    model.load_state_dict(best)
    return logs


def _epoch(run: _Run, e: Examples, optimiser: _Optimiser, negatives: Sampler, rng: np.random.Generator) -> float:
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
        inputs = run.t.item[flat]  # [N]
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


class _Optimiser:
    """Adam for all weights: dense for the Transformer, by touched row for the item table."""

    def __init__(self, model: Encoder, s: EncoderSettings) -> None:
        rest = [weight for name, weight in model.named_parameters() if name != "items"]
        self.dense = torch.optim.Adam(rest, lr=s.lr, betas=BETAS, fused=True)
        self.items = RowAdam(model.items.detach(), s.lr, BETAS)

    def step(self, touched: I64, table: torch.Tensor) -> None:
        """One step; `table` [R, D] are the rows `touched` [R] with their gradient. Row 0, unknown, stays zero."""
        grad = table.grad
        if grad is None:
            raise RuntimeError("RowAdam needs a gradient: call backward() first.")
        if touched[0] == UNKNOWN:  # `touched` ascends
            grad[0] = 0.0
        self.items.step(torch.from_numpy(touched).to(grad.device), grad)
        self.dense.step()
        self.dense.zero_grad()


def _occurrences(run: _Run) -> I64:
    counts: I64 = np.bincount(run.t.item, minlength=len(run.model.items))[1:]
    return counts


def _recall(run: _Run) -> float:
    return recall_at(10, run.model, run.t, run.held, run.settings.length)


def _weights(model: Encoder) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.state_dict().items()}
