"""The two encoders of a run, from tables to folders: Spark writes the sequences, PyTorch reads them.

`base` knows nothing of the time that the ranker learns its labels from. Increments lead from it to `encoder`, which
knows all up to the run's day and is what the new bundle holds. Each increment's start measures similarity for the
requests of its time, so that the ranker learns beside encoders as fresh as the one that it will serve beside.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from recsys.config import Settings
from recsys.days import moment_of, start_of
from recsys.encoder.dataset import catalogue, sequences
from recsys.encoder.distribute import distribute
from recsys.encoder.order import Begin, Order, carry_out
from recsys.encoder.progress import EpochLog
from recsys.encoder.spark import embed_items, embed_users
from recsys.encoder.trained import TrainedEncoder
from recsys.errors import NoDataError
from recsys.io import VERSION, View, Warehouse
from recsys.log import event
from recsys.paths import local_folder
from recsys.tables import EVENTS, ITEM_EMBEDDINGS, ITEMS, USER_EMBEDDINGS, USER_PROFILES

EMBED = "embed"
OnEpoch = Callable[[EpochLog], None]
DAY = timedelta(days=1)
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Encoders:
    """Folders of the encoders for one business day, readable by all that share the artifacts."""

    base: Path
    encoder: Path


@dataclass(frozen=True, kw_only=True)
class Step:
    """An increment, by what happened in [since, until), two moments in UTC; `start` knows nothing of that time."""

    start: Path
    since: datetime
    until: datetime
    folder: Path  # where the result is kept


def encoders_of(settings: Settings, day: date) -> Encoders:
    """Where the encoders for `day` are kept."""
    folder = local_folder(settings.artifacts) / "encoders" / day.isoformat()
    return Encoders(base=folder / "base", encoder=folder / "encoder")


def checkpoints_of(settings: Settings) -> Path:
    """Where trainings keep their state after each epoch, until the last step of a run is done."""
    return local_folder(settings.artifacts) / "training"


def train_base(
    view: View, settings: Settings, day: date, on_epoch: OnEpoch, origin: TrainedEncoder | None = None
) -> list[EpochLog]:
    """Train from the beginning on what lies before the labels of `day`: `ranker.days` before it starts.

    `origin` is another domain's encoder, whose weights it begins with. Raises NoDataError: nothing to learn from.
    BundleError: `origin` has another shape than the settings.
    """
    until = start_of(day, settings.timezone) - timedelta(days=settings.ranker.days)
    with _replaced(encoders_of(settings, day).base) as folder:
        return _train(view, settings, until, None, folder, on_epoch, origin)


def keep_base(settings: Settings, day: date, champion: TrainedEncoder) -> None:
    """The champion's encoder is the base: it has not seen what came after it."""
    with _replaced(encoders_of(settings, day).base) as folder:
        champion.save(folder)


def steps_of(settings: Settings, day: date) -> list[Step]:
    """The increments that lead from the day's base to its encoder, ascending: `ranker.step_days` business days each.

    The base was trained up to the start of a business day; the first step begins there, after its newest behaviour.
    Raises NoDataError: there is no base.
    """
    found, zone = encoders_of(settings, day), settings.timezone
    since = labels_from(read_encoder(found.base, day))
    ends, number = [start_of(day, zone)], 1
    while (end := start_of(day - timedelta(days=number * settings.ranker.step_days), zone)) - since >= DAY:
        ends.insert(0, end)
        number += 1
    folders = [found.base, *(found.base.with_name(f"until-{end:%Y-%m-%dT%H}") for end in ends[:-1]), found.encoder]
    starts = [since, *ends[:-1]]
    return [Step(start=folders[n], since=starts[n], until=end, folder=folders[n + 1]) for n, end in enumerate(ends)]


def train_encoder(view: View, settings: Settings, day: date, on_epoch: OnEpoch) -> list[EpochLog]:
    """Take the day's steps: continue from its base with what is newer and lies before the business day starts.

    A step without anything new leaves the encoder as it is. Epochs are numbered from the first step to the last.
    A run that was cut off goes on after the last epoch that it finished, whatever step that belongs to, with the base
    if that was trained as well; so checkpoints stay until here. Raises NoDataError: there is no base, or nothing new in
    any step.
    """
    steps, logs = steps_of(settings, day), list[EpochLog]()
    for step in steps:
        start, before = TrainedEncoder.load(step.start), len(logs)

        def number(epoch: EpochLog, before: int = before) -> None:
            logs.append(replace(epoch, epoch=before + epoch.epoch))
            on_epoch(logs[-1])

        with _replaced(step.folder) as folder:
            try:
                _train(view, settings, step.until, start, folder, number)
            except NoDataError:
                if step is steps[-1] and not logs:
                    raise
                start.save(folder)
    shutil.rmtree(checkpoints_of(settings), ignore_errors=True)
    return logs


def read_encoder(folder: Path, day: date) -> TrainedEncoder:
    """The encoder kept in `folder`. NoDataError where there is none, naming the days that have one."""
    if not folder.is_dir():
        found = ", ".join(sorted(path.name for path in folder.parent.parent.glob("*"))) or "none"
        raise NoDataError(f"no encoder for --date {day}: run jobs/train_encoder.py first. Found: {found}.")
    return TrainedEncoder.load(folder)


def write_embeddings(warehouse: Warehouse, encoder: Path, bundle: str) -> None:
    """Append a vector for each user and each item of the encoder, made on executors, under the bundle's id."""
    view, started = warehouse.view(), datetime.now(timezone.utc)
    users = embed_users(view.latest(USER_PROFILES, ("recent", "as_of", *VERSION)), str(encoder), bundle)
    items = embed_items(warehouse.spark, str(encoder), bundle)
    commit = warehouse.next_batch(EMBED)
    versions = {
        USER_EMBEDDINGS.name: warehouse.write(USER_EMBEDDINGS, users, commit),
        ITEM_EMBEDDINGS.name: warehouse.write(ITEM_EMBEDDINGS, commit.stamp(items), commit),
    }
    warehouse.finish(commit, versions, started)


def labels_from(base: TrainedEncoder) -> datetime:
    """The first moment (UTC) that the base has not learned from."""
    return moment_of(base.newest + 1)


def _train(
    view: View,
    settings: Settings,
    until: datetime,
    start: TrainedEncoder | None,
    folder: Path,
    on_epoch: OnEpoch,
    origin: TrainedEncoder | None = None,
) -> list[EpochLog]:
    def say(epoch: EpochLog) -> None:
        _say(epoch)
        on_epoch(epoch)

    since = moment_of(start.newest) if start else None
    staging = f"{settings.artifacts}/sequences/{'base' if start is None else 'increment'}"
    sequences(view.read(EVENTS), settings, until, since).write.mode("overwrite").parquet(staging)
    order = Order(
        sequences=staging,
        content=_content(view, settings, until),
        behaviours=tuple(settings.behaviours),
        encoder=settings.encoder,
        seed=settings.seed,
        threads=settings.threads,
        checkpoint=checkpoints_of(settings) / f"{folder.name.lstrip('.')}.safetensors",
        folder=folder,
    )
    begin = Begin(start=start, origin=origin)
    if settings.encoder.processes == 1:
        return carry_out(order, begin, say)
    return distribute(view.warehouse.spark, order, begin, say)


def _content(view: View, settings: Settings, until: datetime) -> str | None:
    """The catalogue as of the start of a day, in a folder; None where none was ever read."""
    if not view.has(ITEMS):
        return None
    staging = f"{settings.artifacts}/sequences/content"
    catalogue(view.read(ITEMS), until).write.mode("overwrite").parquet(staging)
    return staging


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
