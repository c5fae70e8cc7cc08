"""Training: from histories, and perhaps an earlier encoder, to a trained one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from recsys.config import EncoderSettings
from recsys.encoder.affinity import crowds
from recsys.encoder.content import Content, aligned, guess
from recsys.encoder.epochs import Run, epochs, occurrences
from recsys.encoder.examples import split
from recsys.encoder.forward import precision
from recsys.encoder.heads import standardised
from recsys.encoder.increment import check, extended, grown
from recsys.encoder.model import Encoder
from recsys.encoder.progress import EpochLog
from recsys.encoder.ranks import ALONE, Ranks
from recsys.encoder.sequences import tokens
from recsys.encoder.trained import TrainedEncoder, unit_vectors
from recsys.encoder.transfer import transferred
from recsys.encoder.vocabulary import Vocabulary
from recsys.errors import ConfigError, NoDataError
from recsys.features.history import Histories


def train(
    h: Histories,
    behaviours: tuple[str, ...],
    settings: EncoderSettings,
    seed: int,
    start: TrainedEncoder | None = None,
    on_epoch: Callable[[EpochLog], None] | None = None,
    content: Content | None = None,
    checkpoint: Path | None = None,
    origin: TrainedEncoder | None = None,
    ranks: Ranks = ALONE,
) -> tuple[TrainedEncoder, list[EpochLog]]:
    """Train on `h`, or continue from `start` on what is newer than it, with `settings.replay` of the older.

    Items of `content` that nobody has met follow the learned ones in the vocabulary, with vectors guessed from it; an
    increment begins without the guesses of `start`, and new items begin where their content says. Without a `start`,
    `origin` gives all weights to begin with but those of the items (transfer.transferred).

    After each epoch the state of the training is kept in the file `checkpoint`, which the caller removes. A call of the
    same arguments that finds the file goes on after the last epoch in it. On a CPU the same seed, input and number of
    threads give the same bits, cut off or not. An increment that never beats its own beginning on the held-out items
    returns that beginning, with the new items at their initial vectors. The result lies on the CPU.

    With several `ranks`, each calls this with the same arguments and gets the same; the first writes the checkpoint.

    Raises NoDataError: no history holds two different items (with `start`: one newer than it). BundleError: `start` or
    `origin` does not fit `settings`, `start` not `behaviours`. ConfigError: a GPU is asked for, PyTorch sees none.
    TrainingError: processes were given other data, or run other versions (told where there is a checkpoint).
    """
    device = training_device(settings.device)
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    start = None if start is None else _fitting(start, settings, behaviours)
    vocabulary = Vocabulary(()).grow(h.items) if start is None else start.vocabulary.grow(h.items)
    t = standardised(tokens(h, vocabulary, len(behaviours)))
    examples, old, held = split(h, t, settings, rng, start.newest if start else None)
    _require(len(examples.windows.end), h.users, start is not None)
    # Layers draw from the caller's state when they are made.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        model = Encoder(settings, len(vocabulary), len(behaviours), generator)
        if start is not None:
            grown(start, model, t, h.offsets, generator, _guessed(start, vocabulary, content, rng))
        elif origin is not None:
            transferred(origin, model, settings, behaviours)
        run = Run(model.to(device), t, examples, old, held, settings, ranks)
        torch.manual_seed(seed)
        most = settings.epochs if start is None else settings.increment_epochs
        with precision(device, inference=False):
            logs = epochs(run, most, start is not None, rng, on_epoch, checkpoint)
    newest = max(int(h.time.max()), start.newest if start is not None else int(h.time.min()))
    return _completed(run, vocabulary, behaviours, newest, content, rng), logs


def _fitting(start: TrainedEncoder, settings: EncoderSettings, behaviours: tuple[str, ...]) -> TrainedEncoder:
    """`start` without its guesses. BundleError: it does not fit."""
    check(start, settings, behaviours)
    return start.without_guesses()


def _guessed(
    start: TrainedEncoder, vocabulary: Vocabulary, content: Content | None, rng: np.random.Generator
) -> torch.Tensor:
    """[new items, D] where the content says that items begin which `start` lacks."""
    found = guess(content, start.vocabulary, start.item_vectors(), rng) if content else None
    return aligned(found, vocabulary.items[len(start.vocabulary) :], start.settings.dim)


def _completed(
    run: Run,
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
        crowd=crowds(unit_vectors(model), occurrences(run), run.settings.kernel, rng),
    )


def _require(windows: int, users: int, increment: bool) -> None:
    newer = " newer than the encoder to continue from" if increment else ""
    if not windows:
        raise NoDataError(f"None of {users} histories holds two different items{newer}: there is nothing to learn.")


def training_device(asked: str) -> torch.device:
    """The device behind `encoder.device`. ConfigError: a GPU is asked for, and PyTorch sees none."""
    seen = torch.cuda.is_available()
    if asked == "cuda" and not seen:
        raise ConfigError(
            f"encoder.device is cuda, but PyTorch {torch.__version__} sees no GPU. Install a CUDA build and a driver,"
            " or set encoder.device=cpu."
        )
    return torch.device("cuda" if asked != "cpu" and seen else "cpu")
