"""What the report page shows, as plain values: the evaluation job fills it, the page computes nothing anew."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa

from recsys.monitor.bootstrap import Interval
from recsys.ranking.selected import Selected


@dataclass(frozen=True, kw_only=True)
class QueryTotals:
    """What became of a query's input rows, over all its batches (tables.BATCHES)."""

    query: str
    batches: int
    rows_in: int
    accepted: int
    duplicate: int
    rejected: int


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a training curve. Curves of equal `model` stand side by side, those of equal `what` share a plot."""

    model: str  # 'encoder', 'ranker'
    what: str  # the y axis with its unit: 'loss, nats', 'Recall@10'
    series: str  # 'training', 'validation'
    epochs: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Range:
    """A figure of the simulated log beside the range that real logs span, both ends included."""

    name: str
    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """'inside', 'below', 'above' or, of NaN, 'unknown'."""
        if math.isnan(self.value):
            return "unknown"
        return "below" if self.value < self.low else "above" if self.value > self.high else "inside"


@dataclass(frozen=True, kw_only=True)
class Bots:
    """Users set aside as bots, against the simulator's truth."""

    found: int
    true: int
    precision: float
    recall: float


@dataclass(frozen=True, kw_only=True)
class Named:
    """Reasons that name a behaviour, against the simulator's truth."""

    reasons: int
    right: float  # share whose named item goes with the recommended one
    chance: float  # the same for any of the user's newest behaviours, on average


@dataclass(frozen=True, kw_only=True)
class Recommended:
    """One place of a sample list."""

    name: str  # title, or the item's id where it has none
    score: float
    source: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A user, by pseudonym, with their newest behaviours and their list."""

    user: str
    recent: tuple[str, ...]  # newest first: 'viewed Blue kettle'
    items: tuple[Recommended, ...]


@dataclass(frozen=True, kw_only=True)
class StageLine:
    """A stage of the flow: what it reads, who runs it, what it writes."""

    name: str
    job: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportData:
    """Everything on the page. Empty tuples and mappings, and None, leave their section out."""

    source: str  # name of the mapping: 'simulate', 'globo_clicks'
    day: date  # business day that was tested
    zone: str  # its time zone
    made_at: datetime  # with a zone
    bundle: str  # id of the bundle that was measured
    seed: int
    verdict: str = ""  # one sentence: the alias moved, or why it did not
    facts: Mapping[str, str]  # further lines of the summary, in order: {'Users': '20,000', 'Peak memory': '3.1 GiB'}
    batches: tuple[QueryTotals, ...]
    reasons: Mapping[str, int]  # rejection reason -> rows; a row can have several
    metrics: pa.Table  # timesplit.RESULT of evaluate_frozen
    streaming: pa.Table | None = None  # timesplit.RESULT of evaluate_streaming
    scores: Mapping[str, Interval]  # further figures with intervals: {'Ranker AUC, newest slice': Interval(...)}
    curves: tuple[Curve, ...]
    selection: Selected | None = None  # of the bundle's ranker; None: nothing was chosen
    realism: tuple[Range, ...] = ()  # only for a simulated source
    bots: Bots | None = None  # only where the truth is known
    named: Named | None = None  # likewise
    samples: tuple[Sample, ...]
    versions: Mapping[str, int]  # table -> Delta version that was read
    flow: tuple[StageLine, ...]
