"""The ranker's inputs: plain features with the default treatment, and those that operations make. NumPy only.

Training, stream and server apply the same `Inputs`. Shape letters: N examples, F features, P plain ones, I inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.errors import BundleError
from recsys.features.history import F32, I64
from recsys.features.windows import Bool
from recsys.ranking.standardise import Standardisation
from recsys.ranking.steps import Block


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """What was fitted on training time. Features in neither `plain` nor a block are not read."""

    names: tuple[str, ...]  # F
    plain: I64  # [P] columns with the default treatment, ascending
    standardisation: Standardisation  # of the P plain ones
    blocks: tuple[Block, ...] = ()

    @property
    def width(self) -> int:
        """I."""
        return int(self.apply(np.zeros((0, len(self.names)), dtype=np.float32)).shape[1])

    @property
    def read(self) -> Bool:
        """[F] whether the feature is part of any input."""
        read = np.isin(np.arange(len(self.names)), self.plain)
        read[[column for block in self.blocks for column in block.columns]] = True
        return np.asarray(read)

    @property
    def sources(self) -> tuple[tuple[int, ...], ...]:
        """I times the features that the input is made of."""
        own = [(int(place),) for place in (*self.plain, *self.plain[self.standardisation.indicator])]
        nothing = np.zeros((0, len(self.names)), dtype=np.float32)
        made = [block.columns for block in self.blocks for _ in range(block.apply(nothing).shape[1])]
        return (*own, *made)

    def apply(self, x: F32) -> F32:
        """[N, F] plain values, NaN: unknown -> [N, I]. BundleError: another number of columns."""
        if x.ndim != 2 or x.shape[1] != len(self.names):
            raise BundleError(
                f"The ranker reads {len(self.names)} features, the input has shape {x.shape}. "
                "Compute features with the version of recsys that made the bundle."
            )
        plain = self.standardisation.apply(x if len(self.plain) == len(self.names) else x[:, self.plain])
        return np.concatenate([plain, *(block.apply(x) for block in self.blocks)], axis=1) if self.blocks else plain
