"""Begin with what an encoder of another domain has learned: how behaviours follow each other, not which items.

Source: all layers but the task's own vocabulary, as Yosinski et al. 2014, section 2.
"""

from __future__ import annotations

import torch

from recsys.config import EncoderSettings
from recsys.encoder.increment import check_shape
from recsys.encoder.model import Encoder
from recsys.encoder.trained import TrainedEncoder

OWN = ("items", "behaviours", "beside.types", "beside.value")


def transferred(
    origin: TrainedEncoder, blank: Encoder, settings: EncoderSettings, behaviours: tuple[str, ...]
) -> Encoder:
    """`blank`, which `settings` shape, with all weights of `origin` but those of its items and heads.

    Rows of the behaviour table are found by the type's name; a type that `origin` does not know keeps its row of
    `blank`, and so do all items. BundleError: `origin` has another shape.
    """
    check_shape(origin, settings)
    state, other = blank.state_dict(), origin.model.state_dict()
    state |= {name: weight for name, weight in other.items() if name not in OWN}
    shared = [name for name in behaviours if name in origin.behaviours]
    mine = torch.tensor([0, *(behaviours.index(name) + 1 for name in shared)])  # 0: an unknown type
    theirs = torch.tensor([0, *(origin.behaviours.index(name) + 1 for name in shared)])
    state["behaviours"] = state["behaviours"].index_copy(0, mine, other["behaviours"][theirs])
    blank.load_state_dict(state)
    return blank
