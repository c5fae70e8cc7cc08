"""A training as files: what Spark has written for it, read through Arrow, and what comes of it.

Each process that trains holds the flattened arrays of what it trains on: 33 bytes a behaviour, at most K a user.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.dataset as ds
import torch

from recsys import errors
from recsys import log as logs_of
from recsys.config import EncoderSettings, Section
from recsys.encoder.content import Content
from recsys.encoder.progress import EpochLog
from recsys.encoder.ranks import ALONE, Ranks, joined
from recsys.encoder.train import train, training_device
from recsys.encoder.trained import TrainedEncoder
from recsys.errors import NoDataError, RecsysError, TrainingError
from recsys.features.history import MISSING, Histories, from_arrow

ORDER, START, ORIGIN, TOLD, FAULT = "order.json", "start", "origin", "epochs.jsonl", "fault.json"
log = logging.getLogger(__name__)


class Order(Section):
    """A training but for the encoders that it begins with. All processes that carry it out see all its files."""

    sequences: str  # what dataset.sequences gave, as Parquet
    content: str | None  # what dataset.catalogue gave, as Parquet
    behaviours: tuple[str, ...]
    encoder: EncoderSettings
    seed: int
    threads: int  # of each process
    checkpoint: Path
    folder: Path  # where the result is kept


@dataclass(frozen=True, kw_only=True)
class Begin:
    """The encoders that a training begins with: see train.train."""

    start: TrainedEncoder | None = None
    origin: TrainedEncoder | None = None


def carry_out(order: Order, begin: Begin, on_epoch: Callable[[EpochLog], None], ranks: Ranks = ALONE) -> list[EpochLog]:
    """Train and, as the first of all processes, keep the result. Raises as `read_sequences` and `train.train` do."""
    histories = read_sequences(order.sequences, order.behaviours)
    content = None if order.content is None else read_content(order.content)
    torch.set_num_threads(order.threads)
    if ranks.rank == 0:
        told = {"users": histories.users, "behaviours": len(histories.time), "warm": begin.start is not None}
        logs_of.event(log, "training the encoder", **told, processes=ranks.world)
    trained, logs = train(
        histories, order.behaviours, order.encoder, order.seed, begin.start, on_epoch, content, order.checkpoint,
        begin.origin, ranks,
    )  # fmt: skip
    if ranks.rank == 0:
        trained.save(order.folder)
    return logs


def read_content(folder: str) -> Content:
    """The written catalogue, items in the order of their ids."""
    table = ds.dataset(folder, format="parquet", exclude_invalid_files=True).to_table().sort_by("item_id")
    price = pc.fill_null(table["price_minor"], MISSING).to_numpy().astype(np.int64)
    text = {name: tuple(table[name].to_pylist()) for name in ("title", "category")}
    return Content(items=tuple(table["item_id"].to_pylist()), price=price, **text)


def read_sequences(folder: str, behaviours: tuple[str, ...]) -> Histories:
    """The written sequences, users in the order of their pseudonyms. NoDataError where there is none."""
    table = ds.dataset(folder, format="parquet", exclude_invalid_files=True).to_table().sort_by("user_id")
    if not table.num_rows:
        raise NoDataError("no user has two behaviours to learn from. Stream more events, or choose a later --until.")
    return from_arrow(table["recent"], behaviours)


@contextmanager
def placed(order: Order, begin: Begin, folder: Path) -> Iterator[None]:
    """Put all that `as_rank` reads into `folder`, which is gone when the block ends."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, encoder in ((START, begin.start), (ORIGIN, begin.origin)):
        if encoder is not None:
            encoder.save(folder / name)
    (folder / ORDER).write_text(order.model_dump_json(), encoding="utf-8")
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def as_rank(folder: Path) -> None:
    """Carry out the order in `folder` as one of the processes that torchrun started.

    The first one writes each epoch into a file there. An error that has a name is written there too, and no failure of
    the process: all processes have met it. TrainingError: this machine does not see the folder.
    """
    if not (folder / ORDER).is_file():
        raise TrainingError(
            f"This machine does not see {str(folder / ORDER)!r}. `artifacts` must lie on a file system that all share."
        )
    order = Order.model_validate_json((folder / ORDER).read_text(encoding="utf-8"))
    device = training_device(order.encoder.device)
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if os.environ["RANK"] == "0":
        logs_of.configure_once()
        for name in (TOLD, FAULT):  # of processes before these
            (folder / name).unlink(missing_ok=True)
    with joined(device) as ranks:
        try:
            begin = Begin(start=_encoder(folder / START), origin=_encoder(folder / ORIGIN))
            carry_out(order, begin, _teller(folder / TOLD) if ranks.rank == 0 else lambda _: None, ranks)
        except RecsysError as error:
            _replace(folder / FAULT, ranks.rank, {"kind": type(error).__name__, "text": str(error)})


def told(folder: Path) -> list[EpochLog]:
    """The epochs that the first process has written into `folder` so far."""
    file = folder / TOLD
    lines = file.read_text(encoding="utf-8").split("\n")[:-1] if file.is_file() else []  # the last one is not whole
    return [EpochLog(**json.loads(line)) for line in lines]


def raise_fault(folder: Path) -> None:
    """Raise the error that a process has written into `folder`; nothing where there is none."""
    file = folder / FAULT
    if file.is_file():
        fault = json.loads(file.read_text(encoding="utf-8"))
        raise getattr(errors, fault["kind"])(fault["text"])


def _encoder(folder: Path) -> TrainedEncoder | None:
    return TrainedEncoder.load(folder) if folder.is_dir() else None


def _teller(file: Path) -> Callable[[EpochLog], None]:
    def tell(done: EpochLog) -> None:
        with file.open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(asdict(done)) + "\n")

    return tell


def _replace(file: Path, rank: int, found: dict[str, str]) -> None:
    draft = file.with_name(f"{file.name}.{rank}")
    draft.write_text(json.dumps(found), encoding="utf-8")
    draft.replace(file)
