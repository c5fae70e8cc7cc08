"""A training's state between two epochs, as one file: safetensors, with JSON in its header. No pickle.

The file is replaced whole or not at all, so that a training that is killed at any moment leaves its last finished
epoch. It bears a fingerprint of what the training began with, and is of no use to any other training.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from recsys import __version__
from recsys.log import event

FINGERPRINT, TOLD = "fingerprint", "told"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and what JSON can tell."""

    tensors: Mapping[str, Tensor]
    told: Mapping[str, Any]


@dataclass(frozen=True)
class Kept:
    """The checkpoint of one training: its file, and the fingerprint of what the training began with."""

    file: Path
    fingerprint: str

    def write(self, state: Checkpoint) -> None:
        """Replace the file, whole or not at all; it is on the disk when this returns."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.file.with_name(f"{self.file.name}.part")
        held = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
        save_file(held, fresh, {FINGERPRINT: self.fingerprint, TOLD: json.dumps(state.told)})
        _synchronise(fresh)
        fresh.replace(self.file)
        _synchronise(self.file.parent)

    def read(self) -> Checkpoint | None:
        """What was kept, on the CPU; None where nothing was.

        A file of another training, or a damaged one, is left aside with a log line; the next `write` replaces it.
        """
        if not self.file.is_file():
            return None
        try:
            with safe_open(self.file, "pt") as opened:
                header = opened.metadata() or {}
                if header.get(FINGERPRINT) == self.fingerprint:
                    names = list(opened.keys())
                    return Checkpoint({name: opened.get_tensor(name) for name in names}, json.loads(header[TOLD]))
                why = "of a training with other settings, data or versions"
        except (SafetensorError, OSError) as error:
            why = f"damaged: {error}"
        event(log, "checkpoint left aside, training from the beginning", logging.WARNING, file=str(self.file), why=why)
        return None


def named(group: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same under the names `group.NAME`."""
    return {f"{group}.{name}": tensor for name, tensor in tensors.items()}


def under(group: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of the `tensors` that `named` gave that group, by their names before."""
    begin = f"{group}."
    return {name.removeprefix(begin): tensor for name, tensor in tensors.items() if name.startswith(begin)}


def fingerprint(told: Mapping[str, object], data: object, weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of what decides the bits of a training: `told` (JSON), all arrays in `data`, the initial `weights`.

    `data` holds arrays in tuples and dataclasses, at any depth. Versions of this package and of PyTorch, the number of
    threads and PyTorch's random state count as well.
    """
    about = {**told, "version": __version__, "torch": torch.__version__, "threads": torch.get_num_threads()}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    tensors = {**weights, "random": torch.get_rng_state()}
    arrays = chain(_arrays("", data), ((name, tensor.detach().cpu().numpy()) for name, tensor in tensors.items()))
    for name, array in arrays:
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _synchronise(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _arrays(name: str, data: object) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    if isinstance(data, np.ndarray):
        yield name, data
    elif isinstance(data, tuple):
        for number, part in enumerate(data):
            yield from _arrays(f"{name}.{number}", part)
    elif is_dataclass(data):
        for field in fields(data):
            yield from _arrays(f"{name}.{field.name}", getattr(data, field.name))
