"""What training minimises: each head's cross-entropy, weighted by settings or by what is learned. torch only.

Shape letters: B examples of a batch, T heads.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def objective(logits: Tensor, labels: Tensor, weight: Tensor, log_variance: Tensor | None = None) -> Tensor:
    """The loss of a batch: log odds, labels and weights [B, T] -> one number.

    Without `log_variance` the mean over all examples of all heads, each by its weight; 0 is none of the head's. With it
    [T] the heads' plain means L are weighted by what is learned, exp(-s) L + s / 2 (Kendall et al. 2018, equations 7
    and 10, s being the log of their variance): a head whose labels are hard to tell counts less.
    """
    if logits.shape[1] == 1:  # every example is the only head's, and the optimiser's steps do not depend on a factor
        return binary_cross_entropy_with_logits(logits, labels)
    each = binary_cross_entropy_with_logits(logits, labels, reduction="none")  # [B, T]
    if log_variance is None:
        return (each * weight).sum() / weight.sum()
    asked = (weight > 0).to(each.dtype)
    count = asked.sum(dim=0)
    mean = (each * asked).sum(dim=0) / count.clamp(min=1)  # [T]
    balanced: Tensor = (torch.exp(-log_variance) * mean + log_variance / 2)[count > 0].sum()
    return balanced
