"""Small real models on disk: an encoder with random weights and a ranker trained for one epoch on random examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from recsys.config import EncoderSettings, FeatureSettings, RankerSettings, Settings
from recsys.encoder.model import Encoder
from recsys.encoder.trained import TrainedEncoder
from recsys.encoder.vocabulary import Vocabulary
from recsys.features.definitions import ITEM_FEATURES, feature_names
from recsys.features.item import ItemSnapshot
from recsys.ranking.train import Examples, train_ranker
from recsys.topn.spark import ModelPaths


def snapshot(items: int, at: int, seed: int = 0) -> ItemSnapshot:
    """Items i00, i01, ... with random features; every seventh is out of stock."""
    random = np.random.default_rng(seed)
    return ItemSnapshot(
        items=tuple(f"i{n:02}" for n in range(items)),
        features=random.integers(0, 50, (items, len(ITEM_FEATURES))).astype(np.float32),
        price=random.integers(100, 900, items),
        category=tuple(f"c{n % 3}" if n % 5 else None for n in range(items)),
        title=tuple(f"Title {n}" if n % 2 else None for n in range(items)),
        in_stock=np.arange(items) % 7 != 6,
        at=at,
    )


def save_models(folder: Path, catalogue: ItemSnapshot, settings: Settings) -> ModelPaths:
    """The encoder knows all items but the last two."""
    paths = ModelPaths(
        encoder=str(folder / "encoder"), ranker=str(folder / "ranker"), snapshot=str(folder / "snapshot.parquet")
    )
    small = EncoderSettings(dim=8, heads=2, length=6)
    behaviours = tuple(settings.behaviours)
    vocabulary = Vocabulary(catalogue.items[:-2])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Encoder(small, len(vocabulary), len(behaviours))
    crowd = np.zeros(len(vocabulary), dtype=np.float32)
    encoder = TrainedEncoder(
        settings=small,
        vocabulary=vocabulary,
        behaviours=behaviours,
        model=model,
        learned=len(vocabulary),
        newest=0,
        crowd=crowd,
    )
    encoder.save(Path(paths.encoder))
    random = np.random.default_rng(1)
    x = random.standard_normal((400, len(feature_names(FeatureSettings())))).astype(np.float32)
    y = (x[:, -1] + random.standard_normal(400) > 0).astype(np.float32)
    order = np.arange(400, dtype=np.int64)
    zero = np.zeros(400, dtype=np.float32)
    examples = Examples(x=x, y=y, request=order // 4, at=order // 4, user=order // 4, offset=zero)
    ranker, _ = train_ranker(examples, RankerSettings(epochs=1), seed=1, names=feature_names(FeatureSettings()))
    ranker.save(Path(paths.ranker))
    catalogue.save(Path(paths.snapshot))
    return paths
