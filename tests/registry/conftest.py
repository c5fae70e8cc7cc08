"""Small real bundles: an encoder with random weights, a ranker trained on random features, twenty items."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from recsys.config import EncoderSettings, FeatureSettings, Operation, RankerSettings, Settings, TopNSettings
from recsys.encoder.model import Encoder
from recsys.encoder.trained import TrainedEncoder
from recsys.encoder.vocabulary import Vocabulary
from recsys.features.definitions import ITEM_FEATURES, feature_names, names
from recsys.features.item import ItemSnapshot, from_table
from recsys.ranking.recent import Recent
from recsys.ranking.train import Examples, train_ranker
from recsys.ranking.trained import TrainedRanker
from recsys.registry.alias import Decision, move
from recsys.registry.bundle import Bundle, save
from recsys.registry.consumer import SIGNATURE
from recsys.registry.packaged import LOADER
from recsys.registry.promote import register
from recsys.registry.tracking import STORE, connect, run

ITEMS = tuple(f"i{place:02}" for place in range(20))
SNAPSHOT_AT = 1_760_000_000_000_000  # 2025-10-09 08:53:20 UTC
SETTINGS = Settings(topn=TopNSettings(n=3, candidates=10, popular=5))
MakeBundle = Callable[[Path, int], Bundle]
Filled = tuple[Path, list[str]]


def encoder(seed: int) -> TrainedEncoder:
    torch.manual_seed(seed)
    small = EncoderSettings(dim=8, heads=2, length=4)
    behaviours = tuple(SETTINGS.behaviours)
    model = Encoder(small, len(ITEMS), len(behaviours))
    return TrainedEncoder(
        settings=small,
        vocabulary=Vocabulary(ITEMS),
        behaviours=behaviours,
        model=model,
        learned=len(ITEMS),
        newest=SNAPSHOT_AT,
        crowd=np.zeros(len(ITEMS), dtype=np.float32),
    )


def ranker(seed: int, operations: tuple[Operation, ...] = (), **other: object) -> TrainedRanker:
    random = np.random.default_rng(seed)
    x = random.normal(size=(200, len(feature_names(FeatureSettings())))).astype(np.float32)
    y = (random.random(200) < 0.5).astype(np.float32)
    request = np.arange(200) // 4
    told = {"hidden": (4,), "epochs": 1, "batch": 64, "operations": operations, **other}
    settings = RankerSettings.model_validate(told)
    outcomes = (y[:, None] > 0) & (np.arange(200)[:, None] % 4 == np.arange(4))
    zero = np.zeros(len(y), dtype=np.float32)
    examples = Examples(
        x=x,
        y=y,
        request=request,
        at=request * 1000,
        user=request,
        offset=zero,
        outcomes=outcomes,
        recent=recent(random, settings.attention),
        behaviours=tuple(SETTINGS.behaviours),
    )
    return train_ranker(examples, settings, seed, feature_names(FeatureSettings()))[0]


def recent(random: np.random.Generator, length: int) -> Recent | None:
    """Of 50 requests of four pairs each; None: no behaviours are asked for."""
    if not length:
        return None
    return Recent(
        similarity=random.uniform(-1, 1, (200, length)).astype(np.float32),
        behaviour=random.integers(1, 7, (50, length)).astype(np.int8),
        gap=random.uniform(0, 15, (50, length)).astype(np.float32),
        point=np.arange(200) // 4,
    )


def snapshot() -> ItemSnapshot:
    count = len(ITEMS)
    columns: dict[str, pa.Array] = {name: pa.array(np.arange(count, dtype=np.float64)) for name in names(ITEM_FEATURES)}
    columns |= {
        "item_id": pa.array(ITEMS),
        "price_minor": pa.array([100] * count, pa.int64()),
        "category": pa.array(["x", None] * (count // 2)),
        "title": pa.array([f"Item {item}" for item in ITEMS]),
        "in_stock": pa.array([item != "i07" for item in ITEMS]),
    }
    return from_table(pa.table(columns), SNAPSHOT_AT)


@pytest.fixture(scope="session")
def make_bundle() -> MakeBundle:
    """`make_bundle(folder, seed)` writes a bundle; another seed gives other weights."""
    torch.set_num_threads(1)
    shared = snapshot()
    return lambda folder, seed: save(
        folder, encoder(seed), ranker(seed), shared, SETTINGS, {"events": 7, "examples": 3}
    )


@contextmanager
def own_mlflow() -> Iterator[None]:
    """MLflow's own state, and what it exports, is put back afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            patch.setenv(name, "")  # so that what MLflow exports is taken back, too
            patch.delenv(name)
        yield
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)


@pytest.fixture
def store(tmp_path: Path, empty_store: Path) -> Iterator[Settings]:
    """Settings whose registry is a fresh SQLite file."""
    settings = SETTINGS.model_copy(update={"artifacts": str(tmp_path / "artifacts"), "warehouse": str(tmp_path)})
    shutil.copytree(empty_store, tmp_path / "artifacts")
    with own_mlflow():
        connect(settings)
        yield settings


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file without a row: MLflow needs seconds to make one."""
    folder = tmp_path_factory.mktemp("empty")
    with own_mlflow():
        connect(SETTINGS.model_copy(update={"artifacts": str(folder)}))
        mlflow.search_experiments()
    return folder


def decided(version: str, previous: str | None, bundle: str = "") -> Decision:
    return Decision(outcome="promoted", version=version, bundle=bundle, previous=previous, reason="better")


@pytest.fixture(scope="module")
def filled(make_bundle: MakeBundle, empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """Artifacts whose registry holds three versions that were champion one after the other; their bundles' ids."""
    folder = tmp_path_factory.mktemp("filled")
    shutil.copytree(empty_store, folder / "artifacts")
    settings = SETTINGS.model_copy(update={"artifacts": str(folder / "artifacts"), "warehouse": str(folder)})
    made = [make_bundle(folder / f"b{seed}", seed) for seed in range(3)]
    with own_mlflow():
        connect(settings)
        for place, bundle in enumerate(made):
            version, _ = registered(settings, bundle.folder)
            assert move(settings, decided(version, str(place) if place else None, bundle.id))
    return folder / "artifacts", [bundle.id for bundle in made]


@pytest.fixture
def three(filled: Filled, store: Settings) -> list[str]:
    """The registry of `filled` for one test; the models' files are shared."""
    shutil.copy(filled[0] / STORE, Path(store.artifacts) / STORE)
    return filled[1]


def requests(*items: str) -> pd.DataFrame:
    """One user who clicked the items, one a minute, up to the snapshot's moment; and one without a history."""
    recent = [
        {"item_id": item, "behaviour": "click", "event_time": SNAPSHOT_AT - (len(items) - place) * 60_000_000}
        for place, item in enumerate(items)
    ]
    frame: pd.DataFrame = pd.DataFrame({"recent": [recent, []], "at": [SNAPSHOT_AT] * 2})
    return frame


def registered(settings: Settings, folder: Path) -> tuple[str, Path]:
    """Register the bundle in `folder`; gives the version and the registry's folder of its model."""
    before = set(Path(settings.artifacts).rglob("MLmodel"))
    with run(settings, "bundle", "test", {}, {}):
        version = register(folder, settings.registry)
    (described,) = set(Path(settings.artifacts).rglob("MLmodel")) - before
    return version, described.parent


def packed(folder: Path, model: Path) -> Path:
    """The folder of a model that `register` would make of a bundle, without a registry."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*input example was not provided", UserWarning)
        mlflow.pyfunc.save_model(
            str(model),
            loader_module=LOADER,
            data_path=str(folder),
            signature=SIGNATURE,
            pip_requirements=["recsys==0.1.0"],
        )
    return model
