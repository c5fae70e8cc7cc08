"""RecTools' eSASRec on the same sequences, one thread: runs in the peers' environment, not in ours.

Prints one JSON object: sequences a CPU second of each epoch after the first, and the wall time of the training.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
import warnings
from pathlib import Path
from typing import ClassVar

import pandas as pd
import torch
from pytorch_lightning import Callback, Trainer, seed_everything  # type: ignore[import-not-found]
from rectools.dataset import Dataset
from rectools.models import SASRecModel
from rectools.models.nn.transformers.ligr import LiGRLayers

BATCH = 128


class Clock(Callback):  # type: ignore[misc]
    """CPU and wall seconds of each epoch, without what comes before the first and after the last."""

    cpu: ClassVar[list[float]] = []  # of the class: the model trains with a copy of its trainer's callbacks
    wall: ClassVar[list[float]] = []

    def on_train_epoch_start(self, trainer: Trainer, module: object) -> None:
        """Start both clocks."""
        self.began = time.process_time(), time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, module: object) -> None:
        """Stop them."""
        self.cpu.append(time.process_time() - self.began[0])
        self.wall.append(time.perf_counter() - self.began[1])


def sequences(path: Path) -> pd.DataFrame:
    """A line a user: the user, then items in order, without the last two of each, which are held out."""
    rows: list[tuple[str, str, float, int]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        user, *items = line.split()
        rows += [(user, item, 1.0, day) for day, item in enumerate(items[:-2])]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "weight", "datetime"])
    dated: pd.DataFrame = frame.assign(datetime=pd.to_datetime(frame["datetime"], unit="D"))
    return dated


def main() -> None:
    """Train for some epochs of a few batches each, over all items."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batches", type=int, default=8, help="batches in an epoch")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")  # the peer's own, about pandas and its trainer
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    seed_everything(asked.seed)

    def trainer() -> Trainer:
        return Trainer(
            accelerator="cpu",
            max_epochs=asked.epochs,
            limit_train_batches=asked.batches,
            callbacks=[Clock()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    model = SASRecModel(
        n_factors=64,
        n_blocks=1,
        n_heads=1,
        session_max_len=50,
        dropout_rate=0.2,
        loss="sampled_softmax",
        n_negatives=256,
        lr=1e-3,
        batch_size=BATCH,
        transformer_layers_type=LiGRLayers,
        transformer_layers_kwargs={"ff_factors_multiplier": 4},
        use_key_padding_mask=True,
        get_trainer_func=trainer,
    )
    model.fit(Dataset.construct(sequences(asked.path)))
    rates = [asked.batches * BATCH / cpu for cpu in Clock.cpu[1:]]
    print(json.dumps({"sequences_per_cpu_s": rates, "seconds": sum(Clock.wall)}))


if __name__ == "__main__":
    main()
