"""Operations fitted with scikit-learn on examples of training time. What is applied later are plain parameters.

Shape letters: N examples, F features, J columns of a block.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import KBinsDiscretizer, MinMaxScaler, OneHotEncoder, StandardScaler

from recsys.config import Operation, Step
from recsys.features.history import F32, F64
from recsys.ranking import standardise
from recsys.ranking.declared import LAST, replaced
from recsys.ranking.inputs import Inputs
from recsys.ranking.standardise import RARE
from recsys.ranking.steps import (
    Block,
    Bucketise,
    Fitted,
    Hash,
    Impute,
    L2Normalise,
    Log,
    MinMax,
    OneHot,
    Row,
    Standardise,
    Weigh,
    known,
)


def fit_inputs(
    x: F32, names: tuple[str, ...], operations: tuple[Operation, ...] = (), dropped: Collection[str] = ()
) -> Inputs:
    """Fit on [N, F] plain values. `dropped` features have no input of their own.

    Raises NoDataError and BundleError as `standardise.fit`.
    """
    own = {*replaced(operations), *dropped}
    plain = np.asarray([place for place, name in enumerate(names) if name not in own], dtype=np.int64)
    default = x if len(plain) == len(names) else x[:, plain]
    return Inputs(
        names=names,
        plain=plain,
        standardisation=standardise.fit(default, tuple(names[place] for place in plain)),
        blocks=tuple(_block(x, names, operation) for operation in operations),
    )


def _block(x: F32, names: tuple[str, ...], operation: Operation) -> Block:
    columns = tuple(names.index(name) for name in operation.names)
    values = known(x[:, columns])
    missing = np.isnan(values).mean(axis=0)
    steps: list[Fitted] = []

    def add(step: Fitted) -> None:
        nonlocal values
        steps.append(step)
        values = step.apply(values)

    if operation.kind == "cross":
        add(bucketise(values, operation.bins))
        add(_hash(values, operation.buckets, joint=True))
        return Block(columns=columns, indicator=(), steps=tuple(steps))
    if operation.kind == "weigh":
        add(Weigh(weights=tuple(operation.weigh.values())))
    for step in operation.do:
        add(_fit(step, values))
    if operation.do and operation.do[-1].name in LAST:
        return Block(columns=columns, indicator=(), steps=tuple(steps))
    if not any(step.name == "impute" for step in operation.do):
        add(_impute(values, "mean"))
    told = () if operation.kind == "weigh" else np.flatnonzero((missing > RARE) & (missing < 1 - RARE)).tolist()
    return Block(columns=columns, indicator=tuple(told), steps=tuple(steps))


def _fit(step: Step, x: F64) -> Fitted:
    """The step with what it takes from [N, J]. Columns that are never known count as 0."""
    simple: dict[str, Callable[[], Fitted]] = {
        "log": Log,
        "l2_normalise": L2Normalise,
        "standardise": lambda: _standardise(x),
        "min_max": lambda: _min_max(x),
        "one_hot": lambda: _one_hot(x, int(step.value or 0)),
        "bucketise": lambda: bucketise(x, int(step.value or 0)),
        "hash": lambda: _hash(x, int(step.value or 0), joint=False),
        "impute": lambda: _impute(x, step.value),
    }
    return simple[step.name]()


def _standardise(x: F64) -> Standardise:
    scaler = StandardScaler().fit(_present(x))
    return Standardise(mean=_row(scaler.mean_), scale=_row(scaler.scale_))


def _min_max(x: F64) -> MinMax:
    scaler = MinMaxScaler().fit(_present(x))
    return MinMax(low=_row(scaler.data_min_), span=_row(1 / scaler.scale_))


def _impute(x: F64, value: object) -> Impute:
    constant = not isinstance(value, str)
    strategy = "constant" if constant else value
    imputer = SimpleImputer(strategy=strategy, fill_value=float(value) if constant else None)  # type: ignore[arg-type]
    return Impute(fill=_row(imputer.fit(x if constant else _present(x)).statistics_))


def bucketise(x: F64, bins: int) -> Bucketise:
    """Buckets of each column [N, J]: its known values where they are `bins` or fewer, else by quantiles.

    Equal quantiles make one bucket. Quantiles alone would put both values of a flag into one.
    """
    return Bucketise(edges=tuple(_edges(column[~np.isnan(column)], bins) for column in x.T))


def _edges(present: F64, bins: int) -> Row:
    values = np.unique(present)
    if len(values) <= bins:
        return _row(values[1:])
    cut = KBinsDiscretizer(
        bins, encode="ordinal", strategy="quantile", quantile_method="averaged_inverted_cdf", subsample=None
    )
    with warnings.catch_warnings():  # of equal quantiles
        warnings.simplefilter("ignore", UserWarning)
        return _row(cut.fit(present[:, None]).bin_edges_[0][1:-1])


def _one_hot(x: F64, most: int) -> OneHot:
    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=most, min_frequency=RARE, dtype=np.float64
    ).fit(x)
    categories, unknown, other = [], [], []
    for column, (values, rare) in enumerate(zip(encoder.categories_, encoder.infrequent_categories_, strict=True)):
        rare = np.empty(0) if rare is None else rare
        kept = values[~np.isin(values, rare[~np.isnan(rare)]) & ~(np.isnan(values) & np.isnan(rare).any())]
        categories.append(_row(kept[~np.isnan(kept)]))
        unknown.append(bool(np.isnan(kept).any()))
        gone = np.isin(x[:, column], rare[~np.isnan(rare)]) | (np.isnan(x[:, column]) & np.isnan(rare).any())
        other.append(bool(gone.mean() > RARE))
    return OneHot(categories=tuple(categories), unknown=tuple(unknown), other=tuple(other))


def _hash(x: F64, buckets: int, *, joint: bool) -> Hash:
    found = Hash(buckets=buckets, joint=joint, kept=()).bucket(x)
    counts = [np.bincount(column, minlength=buckets) for column in found.T]
    kept = tuple(tuple(np.flatnonzero(count > RARE * len(x)).tolist()) for count in counts)
    return Hash(buckets=buckets, joint=joint, kept=kept)


def _present(x: F64) -> F64:
    """The same with 0 in columns that are never known, of which nothing could be fitted."""
    return np.where(np.isnan(x).all(axis=0), 0.0, x)


def _row(values: F64) -> Row:
    return tuple(np.asarray(values, dtype=np.float64).tolist())
