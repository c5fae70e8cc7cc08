"""A bundle: encoder, ranker, item snapshot and settings that belong together, as one folder of plain data.

manifest.json   encoder/…   ranker/…   items.parquet
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path

import recsys
from recsys.config import FeatureSettings, Settings
from recsys.encoder.trained import TrainedEncoder
from recsys.errors import BundleError
from recsys.features.definitions import all_features, feature_hash, feature_names
from recsys.features.history import I64, Histories
from recsys.features.item import ItemSnapshot
from recsys.ranking.trained import TrainedRanker
from recsys.registry import manifest as manifests
from recsys.registry.manifest import Manifest
from recsys.registry.shapes import check_shapes
from recsys.topn.index import ItemIndex, build_index
from recsys.topn.recommend import TopN, recommend

ENCODER, RANKER, ITEMS = "encoder", "ranker", "items.parquet"


@dataclass(frozen=True, kw_only=True, eq=False)
class Bundle:
    """Verified models in memory. `folder` is where they were read from."""

    id: str
    folder: Path
    manifest: Manifest
    encoder: TrainedEncoder
    ranker: TrainedRanker
    snapshot: ItemSnapshot

    @cached_property
    def index(self) -> ItemIndex:
        """The snapshot with the encoder's vectors, prepared once."""
        return build_index(self.encoder, self.snapshot, self.manifest.topn)

    @property
    def engaged(self) -> frozenset[str]:
        """Names of the behaviours that histories keep."""
        return frozenset(name for name, behaviour in self.manifest.behaviours.items() if behaviour.engaged)

    def recommend(self, h: Histories, at: I64 | int, n: int | None = None) -> TopN:
        """The best `n` items (default: the bundle's topn.n) of each user at `at`, microseconds since 1970 UTC."""
        topn = self.manifest.topn
        if n is not None:
            # A user with a vector gets topn.popular popular items; the rest must come from the neighbours.
            topn = topn.model_copy(update={"n": n, "candidates": max(topn.candidates, n + topn.popular)})
        names, features = self.manifest.names, self.manifest.features
        return recommend(h, at, self.encoder, self.ranker, self.snapshot, names, features, topn, self.index)


def save(
    folder: Path,
    encoder: TrainedEncoder,
    ranker: TrainedRanker,
    snapshot: ItemSnapshot,
    settings: Settings,
    tables: Mapping[str, int],
    parent: str | None = None,
) -> Bundle:
    """Write a bundle; the folder appears complete or not at all. `tables` are the Delta versions that training read.

    `parent` is the id of the bundle that training started from. Raises BundleError: the folder exists already, or the
    parts do not fit together.
    """
    if folder.exists():
        raise BundleError(
            f"Folder {str(folder)!r} exists already: a bundle is never changed, write it to a new folder."
        )
    _check_parts(encoder, ranker, tuple(settings.behaviours), settings.features)
    work = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    encoder.save(work / ENCODER)
    ranker.save(work / RANKER)
    snapshot.save(work / ITEMS)
    manifest = Manifest(
        created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        version=recsys.__version__,
        parent=parent,
        feature_hash=feature_hash(all_features(settings.features)),
        feature_names=ranker.names,
        names=tuple(settings.behaviours),
        behaviours=settings.behaviours,
        features=settings.features,
        topn=settings.topn,
        tables=dict(tables),
        files=manifests.describe(work),
    )
    data = manifests.encode(manifest)
    (work / manifests.NAME).write_bytes(data)
    work.replace(folder)
    return Bundle(
        id=manifests.identity(data),
        folder=folder,
        manifest=manifest,
        encoder=encoder,
        ranker=ranker,
        snapshot=snapshot,
    )


def load(folder: Path) -> Bundle:
    """Verify a bundle's files, then read them. BundleError: what `manifest.verify` refuses, or parts do not fit."""
    manifest, name = manifests.verify(folder)
    check_shapes(folder / ENCODER, folder / RANKER)
    encoder, ranker = TrainedEncoder.load(folder / ENCODER), TrainedRanker.load(folder / RANKER)
    _check_parts(encoder, ranker, manifest.names, manifest.features)
    snapshot = ItemSnapshot.load(folder / ITEMS, manifest.features)
    return Bundle(id=name, folder=folder, manifest=manifest, encoder=encoder, ranker=ranker, snapshot=snapshot)


def _check_parts(
    encoder: TrainedEncoder, ranker: TrainedRanker, behaviours: tuple[str, ...], features: FeatureSettings
) -> None:
    if encoder.behaviours != behaviours:
        raise BundleError(f"The encoder knows behaviours {encoder.behaviours}, the settings have {behaviours}.")
    if ranker.shape.attention and ranker.shape.attention.behaviours != behaviours:
        found = ranker.shape.attention.behaviours
        raise BundleError(f"The ranker attends to behaviours {found}, the settings have {behaviours}.")
    if ranker.names != feature_names(features):
        changed = sorted(set(ranker.names) ^ set(feature_names(features))) or "their order"
        raise BundleError(f"The ranker's features differ from this version's in {changed}: train the ranker anew.")
