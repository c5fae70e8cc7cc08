"""The two encoders of a run, from tables to folders: Spark writes the sequences, PyTorch reads them.

`base` knows nothing of the time that the ranker learns its labels from, and measures similarity there; `encoder`
continues from it up to the run's day, and is what the new bundle holds.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import torch

from recsys.config import Settings
from recsys.days import moment_of, start_of
from recsys.encoder.dataset import read_sequences, sequences
from recsys.encoder.spark import embed_items, embed_users
from recsys.encoder.train import EpochLog, train
from recsys.encoder.trained import TrainedEncoder
from recsys.errors import NoDataError
from recsys.io import View, Warehouse
from recsys.log import event
from recsys.paths import local_folder
from recsys.tables import EVENTS, ITEM_EMBEDDINGS, USER_EMBEDDINGS, USER_PROFILES

EMBED = "embed"
OnEpoch = Callable[[EpochLog], None]
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Encoders:
    """Folders of the encoders for one business day, readable by all that share the artifacts."""

    base: Path
    encoder: Path


def encoders_of(settings: Settings, day: date) -> Encoders:
    """Where the encoders for `day` are kept."""
    folder = local_folder(settings.artifacts) / "encoders" / day.isoformat()
    return Encoders(base=folder / "base", encoder=folder / "encoder")


def train_base(view: View, settings: Settings, day: date, on_epoch: OnEpoch) -> list[EpochLog]:
    """Train from the beginning on what lies before the labels of `day`: `ranker.days` before it starts.

    Raises NoDataError: nothing to learn from.
    """
    until = start_of(day, settings.timezone) - timedelta(days=settings.ranker.days)
    with _replaced(encoders_of(settings, day).base) as folder:
        return _train(view, settings, until, None, folder, on_epoch)


def keep_base(settings: Settings, day: date, champion: TrainedEncoder) -> None:
    """The champion's encoder is the base: it has not seen what came after it."""
    with _replaced(encoders_of(settings, day).base) as folder:
        champion.save(folder)


def train_encoder(view: View, settings: Settings, day: date, on_epoch: OnEpoch) -> list[EpochLog]:
    """Continue from the day's base with what is newer than it and lies before the business day starts.

    Raises NoDataError: there is no base, or nothing new.
    """
    found = encoders_of(settings, day)
    base = read_encoder(found.base, day)
    with _replaced(found.encoder) as folder:
        return _train(view, settings, start_of(day, settings.timezone), base, folder, on_epoch)


def read_encoder(folder: Path, day: date) -> TrainedEncoder:
    """The encoder kept in `folder`. NoDataError where there is none, naming the days that have one."""
    if not folder.is_dir():
        found = ", ".join(sorted(path.name for path in folder.parent.parent.glob("*"))) or "none"
        raise NoDataError(f"no encoder for --date {day}: run jobs/train_encoder.py first. Found: {found}.")
    return TrainedEncoder.load(folder)


def write_embeddings(warehouse: Warehouse, encoder: Path, bundle: str) -> None:
    """Append a vector for each user and each item of the encoder, made on executors, under the bundle's id."""
    view, started = warehouse.view(), datetime.now(timezone.utc)
    users = embed_users(view.latest(USER_PROFILES, ("recent", "as_of")), str(encoder), bundle)
    items = embed_items(warehouse.spark, str(encoder), bundle)
    commit = warehouse.next_batch(EMBED)
    versions = {
        USER_EMBEDDINGS.name: warehouse.write(USER_EMBEDDINGS, commit.stamp(users), commit),
        ITEM_EMBEDDINGS.name: warehouse.write(ITEM_EMBEDDINGS, commit.stamp(items), commit),
    }
    warehouse.finish(commit, versions, started)


def labels_from(base: TrainedEncoder) -> datetime:
    """The first moment (UTC) that the base has not learned from."""
    return moment_of(base.newest + 1)


def _train(
    view: View, settings: Settings, until: datetime, start: TrainedEncoder | None, folder: Path, on_epoch: OnEpoch
) -> list[EpochLog]:
    def say(epoch: EpochLog) -> None:
        _say(epoch)
        on_epoch(epoch)

    since = moment_of(start.newest) if start else None
    staging = f"{settings.artifacts}/sequences/{folder.name}"
    sequences(view.read(EVENTS), settings, until, since).write.mode("overwrite").parquet(staging)
    histories = read_sequences(staging, settings)
    torch.set_num_threads(settings.threads)
    event(log, "training the encoder", users=histories.users, behaviours=len(histories.time), warm=start is not None)
    trained, logs = train(histories, tuple(settings.behaviours), settings.encoder, settings.seed, start, say)
    trained.save(folder)
    return logs


@contextmanager
def _replaced(folder: Path) -> Iterator[Path]:
    """A fresh folder beside `folder` that takes its place when the block ends without an error."""
    draft = folder.with_name(f".{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)
    yield draft
    shutil.rmtree(folder, ignore_errors=True)
    draft.replace(folder)


def _say(epoch: EpochLog) -> None:
    rate = round(epoch.sequences / epoch.cpu_seconds) if epoch.cpu_seconds else 0
    fields: dict[str, float] = {
        "loss": round(epoch.loss, 4),
        "recall_at_10": round(epoch.recall, 4),
        "sequences_per_cpu_s": rate,
    }
    event(log, "encoder epoch", logging.INFO, epoch=epoch.epoch, **fields)
