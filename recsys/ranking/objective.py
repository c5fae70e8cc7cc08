"""What training minimises: each head's cross-entropy, and the order of the items of a request. torch only.

Shape letters: N examples, B examples of a batch, T heads, Q pairs of a positive and a negative.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus


def objective(
    logits: Tensor,
    labels: Tensor,
    weight: Tensor,
    request: Tensor,
    pairwise: float = 0.0,
    log_variance: Tensor | None = None,
) -> Tensor:
    """The loss of a batch: log odds, labels and weights [B, T] -> one number.

    Of each head, `pairwise` of the mean of -log sigmoid(positive - negative) over the pairs of each request (Burges et
    al. 2005, section 3) and the rest of the mean cross-entropy. `request` [B] is read for the former: equal numbers
    must stand together. Without `log_variance` these are means over all heads, each by its weight; 0 is none of the
    head's. With it [T] the heads' plain means L are weighted by what is learned, exp(-s) L + s / 2 (Kendall et al.
    2018, equations 7 and 10, s being the log of their variance): a head whose labels are hard to tell counts less.
    """
    if logits.shape[1] == 1 and not pairwise:  # every example is the only head's; a factor would only cost last digits
        return binary_cross_entropy_with_logits(logits, labels)
    asked = weight > 0
    each = binary_cross_entropy_with_logits(logits, labels, reduction="none")  # [B, T]
    parts = [(1 - pairwise, (each * asked).sum(dim=0), asked.sum(dim=0))]
    if pairwise:
        parts.append((pairwise, *_order(logits, labels > 0.5, asked, request)))
    if log_variance is None:
        counts_as = weight.amax(dim=0)  # [T]
        means = [share * _ratio((total * counts_as).sum(), (n * counts_as).sum()) for share, total, n in parts]
        return torch.stack(means).sum()
    mean = torch.stack([share * _ratio(total, n) for share, total, n in parts]).sum(dim=0)  # [T]
    balanced: Tensor = (torch.exp(-log_variance) * mean + log_variance / 2)[asked.any(dim=0)].sum()
    return balanced


def _ratio(total: Tensor, count: Tensor) -> Tensor:
    """The mean; 0 of nothing."""
    return total / torch.where(count > 0, count, 1)


def _order(logits: Tensor, positive: Tensor, asked: Tensor, request: Tensor) -> tuple[Tensor, Tensor]:
    """Of each head [T]: the sum of -log sigmoid(positive - negative) over its pairs, and how many there are."""
    sums, counts = [], []
    for head in range(logits.shape[1]):
        better, worse = pairs(request, positive[:, head] & asked[:, head], ~positive[:, head] & asked[:, head])
        sums.append(softplus(logits[worse, head] - logits[better, head]).sum())
        counts.append(len(better))
    return torch.stack(sums), torch.tensor(counts, device=logits.device)


def pairs(request: Tensor, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """[Q], [Q] places in [B]: each of `one` [B] beside each of `other` [B] of its request; requests stand together."""
    run = torch.unique_consecutive(request, return_inverse=True)[1]  # [B] ascending
    first, second = one.nonzero().squeeze(1), other.nonzero().squeeze(1)
    low = torch.searchsorted(run[second], run[first])
    count = torch.searchsorted(run[second], run[first], right=True) - low
    start = torch.repeat_interleave(low - (count.cumsum(0) - count), count)
    return first.repeat_interleave(count), second[start + torch.arange(len(start), device=start.device)]


def batches(rows: Tensor, request: Tensor, size: int, *, whole: bool) -> tuple[Tensor, ...]:
    """`rows` in random order, cut into batches of `size`; the last one is smaller.

    `whole`: requests are drawn and not rows, numbered by `request` [N]. Those of one stand together in one batch, which
    may hold up to a request more or less than `size`.
    """
    if not whole:
        return torch.split(rows[torch.randperm(len(rows))], size)
    number = torch.unique(request[rows], return_inverse=True)[1]
    luck = torch.randperm(int(number.max()) + 1)
    drawn, order = torch.sort(luck[number], stable=True)
    last = torch.bincount(drawn).cumsum(0) - 1  # of each request, in the order drawn
    sizes = torch.bincount((last // size)[drawn])
    return torch.split(rows[order], sizes[sizes > 0].tolist())
