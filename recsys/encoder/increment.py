"""Continue from an earlier encoder: the vocabulary grows, the shape stays.

Shape letters: V items, D width, E behaviours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recsys.config import EncoderSettings
from recsys.encoder.model import Encoder
from recsys.encoder.sequences import Tokens
from recsys.encoder.trained import TrainedEncoder
from recsys.errors import BundleError
from recsys.features.history import I64

HEAD_OF_TYPES = "beside.types"
SHAPE = ("dim", "blocks", "heads", "expansion", "gates", "length")
NOISE = 0.1  # deviation of what is added to a new item's row, as a share of the row's size: keeps new items apart


def check(start: TrainedEncoder, settings: EncoderSettings, behaviours: tuple[str, ...]) -> None:
    """BundleError where `start` has another shape, or where its behaviour types are not the first of `behaviours`."""
    check_shape(start, settings)
    if behaviours[: len(start.behaviours)] != start.behaviours:
        raise BundleError(
            f"The encoder to continue from knows the behaviours {', '.join(start.behaviours)}; found"
            f" {', '.join(behaviours)}. New types may only follow the known ones; else train without a start."
        )


def check_shape(start: TrainedEncoder, settings: EncoderSettings) -> None:
    """BundleError where `start` has another shape."""
    for name in SHAPE:
        was, wanted = getattr(start.settings, name), getattr(settings, name)
        if was != wanted:
            raise BundleError(
                f"encoder.{name} is {wanted}, but the encoder to continue from has {was}."
                f" Set encoder.{name}={was}, or train without a start."
            )


def grown(
    start: TrainedEncoder, blank: Encoder, t: Tokens, offsets: I64, generator: torch.Generator, guessed: Tensor
) -> Encoder:
    """`blank` with the weights of `start` and rows for what `start` lacks; `t` [E] uses the grown vocabulary.

    A new item starts at the mean of the known items right before and after it and of what its content says, at their
    usual size, with some noise; without either, at noise alone. `guessed` [new items, D] has unit length, zeros where
    the content says nothing. A new behaviour type starts at zero: it says nothing yet. Heads of
    `blank` that `start` lacks stay as they are, others of `start` are left out.
    """
    state = start.model.state_dict()
    state["behaviours"] = _longer(state["behaviours"], len(blank.behaviours))
    if HEAD_OF_TYPES in state:
        state[HEAD_OF_TYPES] = _longer(state[HEAD_OF_TYPES], len(blank.behaviours))
    state = {name: state.get(name, weight) for name, weight in blank.state_dict().items()}  # its heads, and no others
    state["items"] = _longer(state["items"], len(blank.items))
    known = len(start.vocabulary)
    if len(state["items"]) > known + 1:
        rows = torch.nn.functional.normalize(_from_neighbours(state["items"], known, t, offsets), dim=1) + guessed
        size = usual_size(state["items"][1 : known + 1])
        noise = torch.randn(rows.shape, generator=generator) * rows.shape[1] ** -0.5
        scale = torch.where(rows.norm(dim=1, keepdim=True) > 0, NOISE, 1.0)
        state["items"][known + 1 :] = size * (torch.nn.functional.normalize(rows, dim=1) + scale * noise)
    blank.load_state_dict(state)
    return blank


def extended(model: Encoder, vectors: Tensor) -> Encoder:
    """The same model with rows for more items behind its own: `vectors` [G, D] of unit length, at the usual size."""
    state = model.state_dict()
    state["items"] = torch.cat([state["items"], usual_size(state["items"][1:]) * vectors])
    model.items = torch.nn.Parameter(state["items"])
    return model


def usual_size(rows: Tensor) -> Tensor:
    """[] mean length of rows [V, D]; 1 without any."""
    return rows.norm(dim=1).mean() if len(rows) else torch.tensor(1.0)


def _from_neighbours(items: Tensor, known: int, t: Tokens, offsets: I64) -> Tensor:
    """[V - known, D] sum of the rows of known items next to each new one; zeros where there is none."""
    token = torch.from_numpy(t.item)
    inside = torch.ones(max(len(token) - 1, 0), dtype=torch.bool)
    edges = torch.from_numpy(offsets[1:-1])
    inside[edges[(edges > 0) & (edges < len(token))] - 1] = False
    left, right = token[:-1][inside], token[1:][inside]
    sums = torch.zeros(len(items) - known - 1, items.shape[1])
    for new, other in ((left, right), (right, left)):
        pair = (new > known) & (other > 0) & (other <= known)
        sums.index_add_(0, new[pair] - known - 1, items[other[pair]])
    return sums


def _longer(table: Tensor, rows: int) -> Tensor:
    out = table.new_zeros(rows, table.shape[1])
    out[: len(table)] = table
    return out
