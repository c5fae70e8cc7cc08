"""Do the weights have the shapes of the networks that the descriptions name? Asked before memory is taken for them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from pydantic import ValidationError

from recsys.config import EncoderSettings
from recsys.encoder import trained as encoders
from recsys.encoder.model import Encoder
from recsys.errors import BundleError
from recsys.ranking import trained as rankers
from recsys.registry.tensors import Tensor, read_tensors

DTYPES = {torch.float32: "F32", torch.int64: "I64"}
MOST = 8192  # of whatever a description counts: widths, blocks, layers, places


def check_shapes(encoder: Path, ranker: Path) -> None:
    """Compare both folders' weights with what their descriptions call for.

    Raises BundleError: a description that cannot be read or asks for absurd sizes; a tensor that is missing, was
    added, or has another type or shape.
    """
    try:
        told = json.loads((encoder / encoders.DESCRIPTION).read_bytes())
        settings = EncoderSettings.model_validate(told["settings"])
        items, behaviours = len(told["items"]), len(told["behaviours"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
        raise BundleError(f"The models' descriptions cannot be read: {error}") from None
    shape = rankers.read_shape(ranker / rankers.DESCRIPTION)
    counts = (
        settings.dim,
        settings.blocks,
        settings.expansion,
        settings.length,
        shape.cross,
        len(shape.hidden),
        len(shape.tasks or ()),
        shape.positions or 0,
        *((told.length, told.heads, told.hidden, len(told.behaviours)) if (told := shape.attention) else ()),
    )
    if max(*counts, *shape.hidden) > MOST:
        raise BundleError(f"The models' descriptions ask for {max(*counts, *shape.hidden)}; {MOST} is the limit.")
    plain = len(shape.names) if shape.plain is None else len(shape.plain)
    scaled = torch.zeros(plain)
    try:
        inputs = rankers.inputs_of(shape, scaled, scaled, ranker).width
    except (IndexError, ValueError) as error:
        raise BundleError(f"The ranker's operations do not fit their features: {error}") from None
    with torch.device("meta"):  # shapes without memory
        network = Encoder(settings, items, behaviours).state_dict()
        scorer = shape.network(inputs).state_dict()
    wanted = _described(network) | {encoders.CROWD: Tensor(dtype="F32", shape=(items,))}
    _compare(wanted, encoder / encoders.WEIGHTS)
    scaling = Tensor(dtype="F32", shape=(plain,))
    wanted = {f"model.{name}": tensor for name, tensor in _described(scorer).items()}
    _compare(wanted | {"mean": scaling, "scale": scaling}, ranker / rankers.WEIGHTS)


def _described(state: dict[str, torch.Tensor]) -> dict[str, Tensor]:
    return {name: Tensor(dtype=DTYPES[value.dtype], shape=tuple(value.shape)) for name, value in state.items()}


def _compare(wanted: dict[str, Tensor], weights: Path) -> None:
    found = read_tensors(weights)
    for name in sorted(set(wanted) | set(found)):
        if wanted.get(name) != found.get(name):
            raise BundleError(
                f"Tensor {name!r} of {weights.name!r} is {_said(found.get(name))}; "
                f"by its description it must be {_said(wanted.get(name))}."
            )


def _said(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else f"{tensor.dtype} {list(tensor.shape)}"
