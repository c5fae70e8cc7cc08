"""Fitted scaling of the ranker's input: signed log1p, standardisation, imputation with indicators. NumPy only.

Shape letters: N examples, F features, J features with an indicator, I = F + J inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from recsys.errors import BundleError, NoDataError
from recsys.features.history import F32, I64

LIMIT = 10.0  # standard deviations; a value never seen in training must not drown all others
Float = TypeVar("Float", np.float32, np.float64)
RARE = 0.001  # share of missing (or of present) values below which an indicator would only be noise


@dataclass(frozen=True, kw_only=True, eq=False)
class Standardisation:
    """What was fitted on training time. A missing value becomes the mean, which is 0 after scaling."""

    names: tuple[str, ...]  # F
    mean: F32  # [F] of signed log1p
    scale: F32  # [F] standard deviation of signed log1p; 1 where it is 0
    indicator: I64  # [J] columns whose missingness is an input of its own

    @property
    def inputs(self) -> int:
        """I."""
        return len(self.names) + len(self.indicator)

    def apply(self, x: F32) -> F32:
        """[N, F] plain values, NaN: unknown -> [N, I] within LIMIT. BundleError: another number of columns."""
        if x.ndim != 2 or x.shape[1] != len(self.names):
            raise BundleError(
                f"The ranker reads {len(self.names)} features, the input has shape {x.shape}. "
                "Compute features with the version of recsys that made the bundle."
            )
        out = np.empty((len(x), self.inputs), dtype=np.float32)
        scaled, missing = out[:, : len(self.names)], np.isnan(x)
        signed_log1p(x, scaled)  # in place: new memory for every step takes longer than its arithmetic
        scaled -= self.mean
        scaled /= self.scale
        np.clip(scaled, -LIMIT, LIMIT, out=scaled)
        scaled[missing] = 0
        out[:, len(self.names) :] = missing[:, self.indicator]
        return out


def signed_log1p(x: npt.NDArray[Float], out: npt.NDArray[Float] | None = None) -> npt.NDArray[Float]:
    """sign(x) ln(1 + |x|): long tails of counts, prices and ages shrink, signs and zeros stay. Into `out`, if given."""
    squeezed: npt.NDArray[Float] = np.abs(x, out=out)
    np.log1p(squeezed, out=squeezed)
    return np.copysign(squeezed, x, out=squeezed)


def fit(x: F32, names: tuple[str, ...]) -> Standardisation:
    """Fit on [N, F] plain values. NoDataError: no rows. BundleError: the names do not match the columns."""
    if x.ndim != 2 or x.shape[1] != len(names):
        raise BundleError(f"{len(names)} feature names for examples of shape {x.shape}.")
    if not len(x):
        raise NoDataError("There are no examples to fit the scaling on: widen ranker.days or check the labels.")
    mean, scale = np.zeros(len(names)), np.ones(len(names))
    for column in range(len(names)):  # by column: no second matrix in double precision
        values = signed_log1p(x[:, column])
        present = values[np.isfinite(values)].astype(np.float64)
        if len(present):
            mean[column], scale[column] = present.mean(), present.std()
    missing = np.isnan(x).mean(axis=0)
    return Standardisation(
        names=names,
        mean=mean.astype(np.float32),
        scale=np.where(scale > 1e-6, scale, 1.0).astype(np.float32),
        indicator=np.flatnonzero((missing > RARE) & (missing < 1 - RARE)).astype(np.int64),
    )
