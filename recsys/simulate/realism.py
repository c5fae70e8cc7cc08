"""How close a log of behaviours is to real ones, in six figures.

Shape letters: N behaviours that have an item, a user and a session; impressions and bots left out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Realism:
    """Figures of one log."""

    gini: float  # of the items' numbers of behaviours, items without any left out
    top_percent: float  # share of behaviours at the 1% of items that have the most
    session_mean: float  # behaviours
    session_median: float
    gap_median_s: float  # between successive behaviours of a session
    repeat_rate: float  # share of behaviours at an item that the user had met before


# Measured with `realism` on the public data sets (each whole; trivago: rows that name an item).
GLOBO_CLICKS = Realism(
    gini=0.948695, top_percent=0.680145, session_mean=2.849703,
    session_median=2.0, gap_median_s=30.0, repeat_rate=0.012540,
)  # fmt: skip
TRIVAGO = Realism(
    gini=0.663273, top_percent=0.101783, session_mean=11.660855,
    session_median=3.0, gap_median_s=0.0, repeat_rate=0.821489,
)  # fmt: skip


def realism(user: npt.ArrayLike, session: npt.ArrayLike, item: npt.ArrayLike, time: I64) -> Realism:
    """The figures of N >= 1 behaviours: ids of any kind [N], `time` [N] in microseconds. NaN: no gap in any session."""
    users, sessions, items = (np.unique(ids, return_inverse=True)[1].astype(np.int64) for ids in (user, session, item))
    counts = np.sort(np.bincount(items))
    size = len(counts)
    lengths = np.bincount(sessions)
    order = np.lexsort((time, sessions))
    gaps = np.diff(time[order])[np.diff(sessions[order]) == 0]
    pairs = len(np.unique(users * size + items))
    return Realism(
        gini=float((2 * np.arange(1, size + 1) - size - 1) @ counts / (size * counts.sum())),
        top_percent=float(counts[-max(1, size // 100) :].sum() / counts.sum()),
        session_mean=float(lengths.mean()),
        session_median=float(np.median(lengths)),
        gap_median_s=float(np.median(gaps)) / 1e6 if len(gaps) else float("nan"),
        repeat_rate=1 - pairs / len(items),
    )


def ranges() -> dict[str, tuple[float, float]]:
    """Figure -> (low, high) spanned by the two real logs, both ends included."""
    globo, trivago = asdict(GLOBO_CLICKS), asdict(TRIVAGO)
    return {name: (min(globo[name], trivago[name]), max(globo[name], trivago[name])) for name in globo}


def outside(figures: Realism) -> list[str]:
    """One sentence for each figure that lies outside of the real range; none: realistic."""
    found = asdict(figures)
    return [
        f"{name} is {found[name]:.3f}, real logs span {low:.3f} to {high:.3f}"
        for name, (low, high) in ranges().items()
        if not low <= found[name] <= high
    ]
