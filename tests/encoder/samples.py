"""Small histories and encoders for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from recsys.config import EncoderSettings
from recsys.encoder.model import Encoder
from recsys.encoder.trained import TrainedEncoder
from recsys.encoder.vocabulary import Vocabulary
from recsys.features.history import MISSING, Histories

S = 1_000_000
BEHAVIOURS = ("view", "click", "cart")
Step = tuple[str | None, int, int]  # item, code of the behaviour, time in seconds


def histories(users: Sequence[Sequence[Step]]) -> Histories:
    """Each user's steps, oldest first; the dictionary holds the items in order of appearance."""
    steps = [step for user in users for step in user]
    items = tuple(dict.fromkeys(item for item, _, _ in steps if item is not None))
    return Histories(
        offsets=np.cumsum([0, *map(len, users)]).astype(np.int64),
        time=np.asarray([time * S for _, _, time in steps], dtype=np.int64),
        behaviour=np.asarray([code for _, code, _ in steps], dtype=np.int8),
        item=np.asarray([MISSING if i is None else items.index(i) for i, _, _ in steps], dtype=np.int32),
        price=np.full(len(steps), MISSING, dtype=np.int64),
        quantity=np.ones(len(steps), dtype=np.int64),
        value=np.full(len(steps), np.nan),
        items=items,
    )


def views(*users: str, first: int = 0) -> Histories:
    """One user a word, one view a letter, one a minute from `first` (seconds) on."""
    return histories([[(letter, 0, first + 60 * place) for place, letter in enumerate(user)] for user in users])


def model_of(settings: EncoderSettings, items: int, seed: int = 0, behaviours: int = len(BEHAVIOURS)) -> Encoder:
    """Random weights, those of the input tables large enough for every input to matter."""
    model = Encoder(settings, items, behaviours, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for table in (model.items, model.behaviours, model.gaps, model.ahead, model.places):
            table.mul_(20)
    return model.eval()


def encoder_of(
    settings: EncoderSettings, items: Sequence[str], seed: int = 0, behaviours: tuple[str, ...] = BEHAVIOURS
) -> TrainedEncoder:
    return TrainedEncoder(
        settings=settings,
        vocabulary=Vocabulary(tuple(items)),
        behaviours=behaviours,
        model=model_of(settings, len(items), seed, len(behaviours)),
        learned=len(items),
        newest=0,
        crowd=np.zeros(len(items), dtype=np.float32),
    )
