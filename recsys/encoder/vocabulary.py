"""Item ids and their rows in the embedding table. Row 0 stands for unknown items and for behaviours without an item."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat

import numpy as np

from recsys.errors import BundleError
from recsys.features.history import I32

UNKNOWN = 0


@dataclass(frozen=True)
class Vocabulary:
    """V item ids; `items[i]` has index i + 1. It only ever grows at its end.

    So the index of an item that was learned never changes its meaning; guessed ones follow (TrainedEncoder.learned).

    Raises BundleError: an id occurs twice.
    """

    items: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self._rows) != len(self.items):
            extra = len(self.items) - len(self._rows)
            raise BundleError(f"The vocabulary holds {extra} ids more than once; ids must be distinct.")

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {item: row for row, item in enumerate(self.items, start=1)}

    def index(self, ids: Sequence[str]) -> I32:
        """[len(ids)] index of each id, 1 ... V; UNKNOWN (0) for an id that was never trained on."""
        return np.fromiter(map(self._rows.get, ids, repeat(UNKNOWN)), dtype=np.int32, count=len(ids))

    def grow(self, ids: Iterable[str]) -> Vocabulary:
        """The same vocabulary with the ids that it lacks at its end, in the order given."""
        fresh = dict.fromkeys(item for item in ids if item not in self._rows)
        return Vocabulary(self.items + tuple(fresh)) if fresh else self
