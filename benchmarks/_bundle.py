"""A bundle of realistic size for the serving benchmarks: real parts with random weights, and requests for it.

Its speed does not depend on its weights. No Spark. Shape letters: I items, E behaviours of a request.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from recsys.config import BEHAVIOURS, EncoderSettings, FeatureSettings, RankerSettings, Settings
from recsys.encoder.model import Encoder
from recsys.encoder.trained import TrainedEncoder
from recsys.encoder.vocabulary import Vocabulary
from recsys.features.definitions import ITEM_FEATURES, feature_names
from recsys.features.history import I64
from recsys.features.item import ItemSnapshot
from recsys.ranking.recent import Recent
from recsys.ranking.train import EpochLog, Examples, train_ranker
from recsys.ranking.trained import TrainedRanker
from recsys.registry.bundle import Bundle, save

ITEMS = 50_000
EXAMPLES = 4_000
HOUR_US = 3_600_000_000
NAMES = tuple(BEHAVIOURS)
ENGAGED = tuple(name for name, behaviour in BEHAVIOURS.items() if behaviour.engaged)


def synthetic_bundle(folder: Path, seed: int, at: int, items: int = ITEMS) -> Bundle:
    """Write a bundle of default settings; its snapshot is true at `at`, microseconds since 1970 UTC."""
    ids = tuple(f"i{n:06d}" for n in range(items))
    ranker = random_ranker(seed)[0]
    return save(folder, _encoder(ids, seed, at), ranker, _snapshot(ids, seed, at), Settings(), {"events": 0})


def random_recent(rng: np.random.Generator, longest: int, at: int, items: int = ITEMS) -> list[dict[str, object]]:
    """A history of 1 to `longest` behaviours before `at` that grow denser towards it, as a request carries it."""
    size = int(rng.integers(1, longest + 1))
    ages = np.sort(rng.exponential(40 * HOUR_US, size).astype(np.int64))[::-1] + 1_000_000
    rows, prices = rng.integers(0, items, size), rng.integers(100, 90_000, size)
    names = rng.integers(0, len(ENGAGED), size)
    return [
        {
            "behaviour": ENGAGED[name],
            "item_id": f"i{row:06d}",
            "event_time": int(at - age),
            "price_minor": int(price),
        }
        for name, row, age, price in zip(names, rows, ages, prices, strict=True)
    ]


def _encoder(ids: tuple[str, ...], seed: int, at: int) -> TrainedEncoder:
    shape = EncoderSettings()
    model = Encoder(shape, len(ids), len(NAMES), torch.Generator().manual_seed(seed)).eval()
    return TrainedEncoder(
        settings=shape,
        vocabulary=Vocabulary(ids),
        behaviours=NAMES,
        model=model,
        learned=len(ids),
        newest=at,
        crowd=np.full(len(ids), -8.0, dtype=np.float32),
    )


def random_ranker(
    seed: int, attention: int = 0, count: int = EXAMPLES, epochs: int = 1
) -> tuple[TrainedRanker, list[EpochLog]]:
    """Of the default shape, trained on random features, some of them unknown, and random behaviours to attend to."""
    rng, names = np.random.default_rng(seed), feature_names(FeatureSettings())
    x = rng.normal(size=(count, len(names))).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    request = np.arange(count) // 5
    examples = Examples(
        x=x,
        y=(rng.random(count) < 0.2).astype(np.float32),
        request=request,
        at=request * 1000,
        user=request,
        offset=np.zeros(count, dtype=np.float32),
        recent=_recent(rng, request, attention) if attention else None,
        behaviours=NAMES,
    )
    return train_ranker(examples, RankerSettings(epochs=epochs, attention=attention), seed, names)


def _recent(rng: np.random.Generator, request: I64, length: int) -> Recent:
    count, shape = len(request), (int(request[-1]) + 1, length)
    return Recent(
        similarity=rng.uniform(-1, 1, (count, length)).astype(np.float32),
        behaviour=rng.integers(1, len(NAMES) + 1, shape).astype(np.int8),
        gap=rng.uniform(0, 15, shape).astype(np.float32),
        point=request,
    )


def _snapshot(ids: tuple[str, ...], seed: int, at: int) -> ItemSnapshot:
    rng, count = np.random.default_rng(seed), len(ids)
    popularity = rng.zipf(1.5, (count, len(ITEM_FEATURES))).clip(max=100_000)
    return ItemSnapshot(
        items=ids,
        features=popularity.astype(np.float32),
        price=rng.integers(100, 90_000, count),
        category=tuple(f"c{n % 200}|s{n % 1000}" for n in range(count)),
        title=tuple(f"Title of item {n}" for n in range(count)),
        in_stock=rng.random(count) < 0.95,
        at=at,
    )
