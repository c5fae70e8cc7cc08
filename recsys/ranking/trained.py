"""A trained ranker: network and fitted inputs, scored and stored together. Safetensors and JSON, no pickle.

Shape letters: N examples, F features.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from recsys.config import Operation, Section
from recsys.errors import BundleError
from recsys.features.history import F32
from recsys.ranking.gate import Seen
from recsys.ranking.inputs import Inputs
from recsys.ranking.model import Ranker
from recsys.ranking.selected import Selected
from recsys.ranking.standardise import Standardisation
from recsys.ranking.steps import Block

FORMAT = 1
BLOCK = 65_536  # examples scored at once: bounds memory
WEIGHTS, DESCRIPTION = "ranker.safetensors", "ranker.json"


class Shape(Section):
    """What rebuilds the network before its weights are read."""

    format: int = FORMAT
    names: tuple[str, ...]
    indicator: tuple[int, ...]  # of the plain ones
    plain: tuple[int, ...] | None = None  # places in `names` with the default treatment; None: all
    blocks: tuple[Block, ...] | None = None  # what operations make of features; None: none is declared
    operations: tuple[Operation, ...] | None = None  # as declared
    selection: Selected | None = None  # what was left out and why; None: nothing was chosen
    seen: Seen | None = None  # the newest examples that it learned from; None: of an earlier release
    hidden: tuple[int, ...]
    cross: int
    dropout: float


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedRanker:
    """A ranker that scores plain features; scaling and imputation are inside."""

    shape: Shape
    inputs: Inputs
    model: Ranker

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the F columns that `score` expects, in order."""
        return self.shape.names

    def score(self, x: F32, /) -> F32:
        """[N, F] plain values, NaN: unknown -> [N] probability of a target behaviour. BundleError: another width."""
        return self._output(x, torch.sigmoid)

    def logits(self, x: F32, /) -> F32:
        """[N, F] as `score` -> [N] log odds."""
        return self._output(x, lambda logits: logits)

    def _output(self, x: F32, last: Callable[[torch.Tensor], torch.Tensor]) -> F32:
        device = next(self.model.parameters()).device
        if self.model.training:
            self.model.eval()
        scores = np.empty(len(x), dtype=np.float32)
        with torch.inference_mode():
            for first in range(0, len(x), BLOCK):
                rows = slice(first, first + BLOCK)
                inputs = torch.from_numpy(self.inputs.apply(x[rows])).to(device)
                scores[rows] = last(self.model(inputs)).cpu().numpy()
        return scores

    def save(self, folder: Path) -> None:
        """Write WEIGHTS and DESCRIPTION into `folder`, which is created."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"model.{name}": value.cpu().contiguous() for name, value in self.model.state_dict().items()}
        tensors["mean"] = torch.from_numpy(self.inputs.standardisation.mean)
        tensors["scale"] = torch.from_numpy(self.inputs.standardisation.scale)
        save_file(tensors, folder / WEIGHTS)
        text = json.dumps(self.shape.model_dump(mode="json", exclude_none=True), indent=1, sort_keys=True)
        (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> TrainedRanker:
        """Read what `save` wrote. BundleError: a file is absent, broken or of another format, or they do not fit."""
        shape = read_shape(folder / DESCRIPTION)
        try:
            tensors = load_file(folder / WEIGHTS)
        except (OSError, SafetensorError) as error:
            raise BundleError(f"Ranker weights {str(folder / WEIGHTS)!r} cannot be read: {error}.") from None
        inputs = inputs_of(shape, tensors.pop("mean", torch.empty(0)), tensors.pop("scale", torch.empty(0)), folder)
        try:
            width = inputs.width
        except (IndexError, ValueError) as error:
            raise BundleError(f"Ranker {str(folder)!r}: the operations do not fit their features: {error}") from None
        model = Ranker(width, shape.hidden, shape.cross, shape.dropout)
        try:
            model.load_state_dict({name.removeprefix("model."): value for name, value in tensors.items()})
        except RuntimeError as error:
            raise BundleError(f"Ranker {str(folder)!r}: the weights do not fit the description: {error}") from None
        return TrainedRanker(shape=shape, inputs=inputs, model=model.eval())


def read_shape(path: Path) -> Shape:
    """The description alone. BundleError: absent, broken, of another format, or it points at no feature."""
    try:
        shape = Shape.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise BundleError(f"Ranker description {str(path)!r} cannot be read: {error}") from None
    if shape.format != FORMAT:
        raise BundleError(
            f"Ranker {str(path)!r} has format {shape.format}, this version reads {FORMAT}: train it anew."
        )
    plain = range(len(shape.names)) if shape.plain is None else shape.plain
    columns = [*plain, *(column for block in shape.blocks or () for column in block.columns)]
    if any(not 0 <= column < len(plain) for column in shape.indicator) or any(
        not 0 <= column < len(shape.names) for column in columns
    ):
        raise BundleError(f"Ranker {str(path)!r}: an indicator or an operation points at no feature.")
    if shape.seen and len(shape.seen.edges) != len(shape.names):
        raise BundleError(f"Ranker {str(path)!r}: what it has seen is not of {len(shape.names)} features.")
    return shape


def inputs_of(shape: Shape, mean: torch.Tensor, scale: torch.Tensor, folder: Path) -> Inputs:
    """What the ranker reads, with the fitted scaling. BundleError: it is not that of so many features."""
    plain = tuple(range(len(shape.names))) if shape.plain is None else shape.plain
    if not len(mean) == len(scale) == len(plain):
        raise BundleError(f"Ranker {str(folder)!r}: mean and scale do not have {len(plain)} values each.")
    standardisation = Standardisation(
        names=tuple(shape.names[place] for place in plain),
        mean=mean.numpy(),
        scale=scale.numpy(),
        indicator=np.asarray(shape.indicator, dtype=np.int64),
    )
    return Inputs(
        names=shape.names,
        plain=np.asarray(plain, dtype=np.int64),
        standardisation=standardisation,
        blocks=shape.blocks or (),
    )
