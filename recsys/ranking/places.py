"""What a place in a shown list adds to the log odds: learned beside the ranker, and left out of its scores. torch only.

People look at the top of a list first, so what was shown low was left alone for its place as much as for itself. A
term of the place alone takes that part upon it: the shallow tower of Zhao et al. 2019 (section 4.4). Decision 032.

Shape letters: N examples, K places.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

PACE = 10  # times the learning rate: a single number has as far to go as the many weights of the network together


class Places(nn.Module):
    """A number for each of the places 1 to K, and one for all deeper ones. All begin at 0."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(count + 1))

    def forward(self, position: Tensor) -> Tensor:
        """[N] places from 1 -> [N] what they add; exactly 0 below 1, where the place is unknown or there is no list."""
        added: Tensor = torch.cat([self.value.new_zeros(1), self.value])[position.clamp(0, len(self.value))]
        return added


def optimiser(model: nn.Module, places: Places | None, lr: float, weight_decay: float) -> torch.optim.Adam:
    """Adam for the model, `places` being a part of it: those learn at PACE and are not held back."""
    own = [] if places is None else [places.value]
    rest = [weight for weight in model.parameters() if all(weight is not one for one in own)]
    groups = [{"params": rest, "lr": lr, "weight_decay": weight_decay}]
    groups += [{"params": own, "lr": PACE * lr, "weight_decay": 0.0}] if own else []
    return torch.optim.Adam(groups)
