"""A trained ranker: network and fitted inputs, scored and stored together. Safetensors and JSON, no pickle.

Shape letters: N examples, F features, T heads.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from recsys.config import Operation, Section
from recsys.errors import BundleError
from recsys.features.history import F32, I32
from recsys.ranking.attention import Attention, Sequences, sequences
from recsys.ranking.gate import Seen
from recsys.ranking.heads import Task
from recsys.ranking.inputs import Inputs
from recsys.ranking.model import Ranker
from recsys.ranking.recent import Recent
from recsys.ranking.selected import Selected
from recsys.ranking.standardise import Standardisation
from recsys.ranking.steps import Block

FORMAT = 1
BLOCK = 65_536  # examples scored at once: bounds memory
ATTENDING = 4_096  # with attention, whose intermediate results are wider
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
    tasks: tuple[Task, ...] | None = None  # the heads; None: one, for all target behaviours alike
    learned: bool | None = None  # what each head's loss counts was learned; None: it was set
    pairwise: float | None = None  # share of the order of a request's items in the loss; None: 0
    attention: Attention | None = None  # over the newest behaviours; None: it reads features alone
    positions: int | None = Field(default=None, ge=1)  # places with a value in training; None: place counts for nothing

    @model_validator(mode="after")
    def _shares(self) -> Shape:
        if self.tasks is not None and abs(sum(task.share for task in self.tasks) - 1) > 1e-6:
            raise ValueError("the heads' shares do not add up to 1")
        if list(self.weights) != sorted(self.weights) or len(self.weights) != len(self.tasks or ()):
            raise ValueError("the heads are not in the order of their names, each once")
        return self

    @property
    def weights(self) -> dict[str, float]:
        """What a behaviour of each head counts, in the order of the heads; empty: there is one for all alike."""
        return {task.behaviour: task.weight for task in self.tasks or ()}

    @property
    def task_weights(self) -> str:
        """As `ranker.task_weights` has it."""
        return "learned" if self.learned else "fixed"

    def network(self, inputs: int) -> Ranker:
        """The network of so many inputs, untrained."""
        shares = tuple(task.share for task in self.tasks or ()) or (1.0,)
        return Ranker(
            inputs,
            self.hidden,
            self.cross,
            self.dropout,
            shares,
            learned=bool(self.learned),
            attention=self.attention,
            positions=self.positions or 0,
        )


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

    @property
    def attention(self) -> int:
        """How many of the newest behaviours `score` reads beside the features; 0: none."""
        return self.shape.attention.length if self.shape.attention else 0

    def score(self, x: F32, recent: Recent | None = None, /) -> F32:
        """[N, F] plain values, NaN: unknown -> [N] probability of a target behaviour.

        `recent` is of the same N pairs and of `attention` behaviours; without attention it is not read. BundleError:
        another width or length.
        """
        return self._output(x, recent, lambda inputs, past: torch.sigmoid(self.model(inputs, past)))

    def logits(self, x: F32, recent: Recent | None = None, /) -> F32:
        """As `score` -> [N] log odds."""
        return self._output(x, recent, self.model)

    def heads(self, x: F32, recent: Recent | None = None, /) -> F32:
        """As `score` -> [N, T] log odds of each head."""
        return self._output(x, recent, self.model.heads)

    def placed(self, position: I32) -> F32:
        """[N] what training adds to the log odds of all heads for a place in a shown list, from 1; 0 below that."""
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            added: F32 = self.model.placed(torch.from_numpy(position).to(device)).cpu().numpy()
        return added

    def tensors(self, x: F32, recent: Recent | None) -> tuple[torch.Tensor, Sequences | None]:
        """What the network reads of N pairs, on its device: [N, I] inputs, and behaviours. Raises as `score`."""
        device = next(self.model.parameters()).device
        inputs, own = torch.from_numpy(self.inputs.apply(x)).to(device), self._checked(len(x), recent)
        return inputs, None if own is None else sequences(own, device)

    def _checked(self, pairs: int, recent: Recent | None) -> Recent | None:
        """What attention reads of so many pairs; None: there is no attention."""
        if not self.attention:
            return None
        if recent is None:
            raise BundleError(
                f"The ranker attends to {self.attention} behaviours of a user, and was given features alone. Train "
                "one with ranker.attention: 0, or pass what recsys.ranking.recent cuts."
            )
        recent.require(pairs, self.attention)
        return recent

    def _output(self, x: F32, recent: Recent | None, of: Callable[..., torch.Tensor]) -> F32:
        if self.model.training:
            self.model.eval()
        blocks, size, past = [], ATTENDING if self.attention else BLOCK, self._checked(len(x), recent)
        with torch.inference_mode():
            for first in range(0, max(len(x), 1), size):
                rows = np.arange(first, min(first + size, len(x)))
                own = self.tensors(x[first : first + size], past.take(rows) if past else None)
                blocks.append(of(*own).cpu().numpy())
        return np.concatenate(blocks)

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
        model = shape.network(width)
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
