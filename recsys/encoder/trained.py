"""A trained encoder: what is saved, loaded and asked for vectors. Safetensors and JSON, no pickle.

Shape letters: U users, V items, D width, P points, W points with a history,
T numbers of behaviours.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from recsys.config import EncoderSettings
from recsys.encoder.affinity import affinity
from recsys.encoder.forward import Launched, launch
from recsys.encoder.model import Encoder
from recsys.encoder.sequences import last_windows, tokens
from recsys.encoder.vocabulary import UNKNOWN, Vocabulary
from recsys.errors import BundleError
from recsys.features.history import F32, I32, I64, Histories, Points

WEIGHTS, DESCRIPTION = "encoder.safetensors", "encoder.json"
CROWD, ITEMS = "crowd", "items"
BLOCK = 1 << 21  # cosines worked out at once


@dataclass(frozen=True, kw_only=True)
class TrainedEncoder:
    """An encoder with all that its vectors depend on. Vectors of different encoders must never be compared."""

    settings: EncoderSettings
    vocabulary: Vocabulary
    behaviours: tuple[str, ...]
    model: Encoder
    learned: int  # items of the vocabulary that it was trained on, the first ones; the others' vectors are guesses
    newest: int  # time of the newest behaviour it was trained on, microseconds since 1970 UTC
    crowd: F32  # [V] ln of the mean kernel between an item and everyone's behaviours (affinity.crowds)

    def encode(self, h: Histories, p: Points) -> F32:
        """[P, D] unit vector of each point's newest L behaviours; zeros where it has none.

        Behaviour codes of `h` mean `self.behaviours`. Unknown items and types count by what is known of them. The
        vector is true at `at`: what a user wants next depends on how long ago the newest behaviour was.
        """
        return self.launch(h, p).fetch()

    def launch(self, h: Histories, p: Points) -> Launched:
        """`encode` on the model's device, without waiting for a GPU: see forward.launch."""
        spans = last_windows(p.start, p.end, self.settings.length)
        return launch(self.model, tokens(h, self.vocabulary, len(self.behaviours)), spans, p.at)

    def item_vectors(self) -> F32:
        """[V, D] unit vectors; row i belongs to vocabulary.items[i]."""
        return self._vectors

    @cached_property
    def _vectors(self) -> F32:
        return unit_vectors(self.model)

    def affinity(self, h: Histories, p: Points, pair_point: I64, number: I32, newest: Sequence[int]) -> F32:
        """[T, M] how much denser each point's newest behaviours, L at most, lie around an item than everyone's.

        For each of T numbers of behaviours. `pair_point` [M] ascends, `number` [M] as the vocabulary numbers items
        (0: unknown, NaN). See affinity.affinity.
        """
        spans = last_windows(p.start, p.end, self.settings.length)
        item = np.append(self.vocabulary.index(h.items), np.int32(UNKNOWN))[h.item]  # no item, -1, reads the last
        return affinity(self._vectors, self.crowd, self.settings.kernel, item, spans, newest, pair_point, number)

    def without_guesses(self) -> TrainedEncoder:
        """The same with the learned items alone: what training continues from."""
        if self.learned == len(self.vocabulary):
            return self
        vocabulary = Vocabulary(self.vocabulary.items[: self.learned])
        model = Encoder(self.settings, self.learned, len(self.behaviours))
        state = self.model.state_dict()
        model.load_state_dict({**state, "items": state["items"][: self.learned + 1]})
        return replace(self, vocabulary=vocabulary, model=model.eval(), crowd=self.crowd[: self.learned])

    def soft_maximum(self, users: F32) -> F32:
        """[U] tau log(sum over all items of exp(cosine / tau)) of `users` [U, D], with the encoder's temperature tau.

        A cosine minus this is the encoder's log probability that the item is the next new one, times tau: comparable
        between users, which a cosine alone is not.
        """
        out = np.empty(len(users), dtype=np.float32)
        with torch.inference_mode():
            items = torch.from_numpy(self._vectors)
            rows = max(BLOCK // max(len(items), 1), 1)
            for first in range(0, len(users), rows):
                cosine = torch.from_numpy(users[first : first + rows]) @ items.T  # [B, V]
                out[first : first + rows] = self.level(cosine).numpy()
        return out

    def level(self, cosine: Tensor) -> Tensor:
        """[U, V] cosines with all items, in any order -> [U], as `soft_maximum`."""
        tau = self.settings.temperature
        return torch.logsumexp(cosine / tau, dim=1) * tau

    def save(self, folder: Path) -> None:
        """Write the weights and their description into `folder`, which is made if absent."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {k: v.detach().cpu().contiguous() for k, v in self.model.state_dict().items()}
        save_file({**weights, CROWD: torch.from_numpy(self.crowd)}, folder / WEIGHTS, {ITEMS: _digest(self.vocabulary)})
        description = {
            "settings": self.settings.model_dump(),
            "behaviours": self.behaviours,
            "newest": self.newest,
            "learned": self.learned,
            "items": self.vocabulary.items,
        }
        (folder / DESCRIPTION).write_text(json.dumps(description), encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> TrainedEncoder:
        """Read what `save` wrote, onto the CPU.

        Raises BundleError: a file is absent or damaged, or weights, description and vocabulary do not belong together.
        """
        for name in (WEIGHTS, DESCRIPTION):
            if not (folder / name).is_file():
                raise BundleError(f"Encoder file {name!r} is missing in {str(folder)!r}; save the encoder again.")
        try:
            told = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
            settings = EncoderSettings.model_validate(told["settings"])
            vocabulary, behaviours = Vocabulary(tuple(told["items"])), tuple(told["behaviours"])
            model = Encoder(settings, len(vocabulary), len(behaviours))
            with safe_open(folder / WEIGHTS, "pt") as opened:
                header = opened.metadata() or {}
                weights = {name: opened.get_tensor(name) for name in list(opened.keys())}
            crowd = weights.pop(CROWD).numpy()
            model.load_state_dict(weights)
            newest = int(told["newest"])
            learned = int(told.get("learned", len(vocabulary)))  # absent in bundles from before there were guesses
        except (ValueError, KeyError, TypeError, RuntimeError, ValidationError, SafetensorError) as error:
            raise BundleError(f"The encoder in {str(folder)!r} is damaged or incomplete: {error}") from error
        model.eval()
        if crowd.shape != (len(vocabulary),) or not 0 <= learned <= len(vocabulary):
            found = f"{len(vocabulary)} items, {learned} of them learned, and {len(crowd)} crowds"
            raise BundleError(f"The encoder in {str(folder)!r} is damaged: it has {found}.")
        if header.get(ITEMS, own := _digest(vocabulary)) != own:  # absent in bundles of earlier releases
            raise BundleError(f"The encoder in {str(folder)!r} is damaged: its weights belong to another vocabulary.")
        broken = sorted(name for name, weight in weights.items() if not weight.isfinite().all())
        if broken or not np.isfinite(crowd).all():
            raise BundleError(f"The encoder in {str(folder)!r} is damaged: not finite are {broken or CROWD}.")
        return TrainedEncoder(
            settings=settings,
            vocabulary=vocabulary,
            behaviours=behaviours,
            model=model,
            learned=learned,
            newest=newest,
            crowd=crowd,
        )


def _digest(vocabulary: Vocabulary) -> str:
    return hashlib.sha256("\0".join(vocabulary.items).encode()).hexdigest()


def unit_vectors(model: Encoder) -> F32:
    """[V, D] the model's item vectors."""
    with torch.inference_mode():
        vectors: F32 = model.item_vectors().float().cpu().numpy()
    return vectors
