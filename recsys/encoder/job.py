"""Train the encoder from tables and keep it: Spark writes the sequences, PyTorch reads them."""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from recsys.config import Settings
from recsys.days import start_of
from recsys.encoder.dataset import read_sequences, sequences
from recsys.encoder.train import EpochLog, train
from recsys.encoder.trained import TrainedEncoder
from recsys.errors import NoDataError
from recsys.io import View
from recsys.log import event
from recsys.tables import EVENTS

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
log = logging.getLogger(__name__)


def encoder_folder(settings: Settings, until: date) -> Path:
    """Where the encoder that learned from before `until` is kept."""
    return Path(settings.artifacts) / "encoders" / until.isoformat()


def train_encoder(
    view: View, settings: Settings, until: date, start: TrainedEncoder | None = None
) -> tuple[Path, list[EpochLog]]:
    """Train on events before the business day `until`; with `start`, on users with newer events than it knows.

    Returns the encoder's folder, readable by all that share the artifacts, and one log an epoch. Raises NoDataError:
    nothing (new) to learn from.
    """
    moment = start_of(until, settings.timezone)
    since = EPOCH + timedelta(microseconds=start.newest) if start else None
    staging = f"{settings.artifacts}/sequences/{until}"
    sequences(view.read(EVENTS), settings, moment, since).write.mode("overwrite").parquet(staging)
    histories = read_sequences(staging, settings)
    event(log, "training the encoder", users=histories.users, behaviours=len(histories.time), warm=start is not None)
    trained, logs = train(histories, tuple(settings.behaviours), settings.encoder, settings.seed, start, _say)
    folder = encoder_folder(settings, until)
    trained.save(folder)
    return folder, logs


def read_encoder(settings: Settings, until: date) -> TrainedEncoder:
    """The encoder kept for `until`. NoDataError where there is none, naming those that there are."""
    folder = encoder_folder(settings, until)
    if not folder.is_dir():
        found = ", ".join(sorted(path.name for path in folder.parent.glob("*"))) or "none"
        raise NoDataError(f"no encoder for --until {until}: run jobs/train_encoder.py first. Found: {found}.")
    return TrainedEncoder.load(folder)


def _say(epoch: EpochLog) -> None:
    rate = round(epoch.sequences / epoch.cpu_seconds) if epoch.cpu_seconds else 0
    fields = {"loss": round(epoch.loss, 4), "recall_at_10": round(epoch.recall, 4), "sequences_per_cpu_s": rate}
    event(log, "encoder epoch", epoch=epoch.epoch, **fields)
