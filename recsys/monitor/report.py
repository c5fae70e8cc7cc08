"""The report page: one HTML file without outside parts, from one ReportData."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from recsys.monitor import plots, selection
from recsys.monitor.bootstrap import Interval
from recsys.monitor.measure import RECOMMENDER
from recsys.monitor.report_data import Curve, ReportData
from recsys.monitor.timesplit import ALL, COVERAGE
from recsys.ranking.selected import Selected

LABELS = {
    "ndcg@10": "NDCG@10",
    "recall@10": "Recall@10",
    "recall@20": "Recall@20",
    "hit_rate@10": "Hit rate@10",
    COVERAGE: "Coverage@10",
    "novelty@10": "Novelty@10, bits",
}
PLOTTED = ("ndcg@10", "recall@20")
Row = Mapping[str, float | str | None]


@dataclass(frozen=True, eq=False)
class Mode:
    """The metrics of one way to evaluate, arranged for the page."""

    title: str
    about: str
    rows: Mapping[tuple[str, str, str], Row]  # (model, slice, metric) -> row of timesplit.RESULT
    versus: str

    @property
    def models(self) -> list[str]:
        """Model names, the recommender first."""
        return sorted(dict.fromkeys(model for model, _, _ in self.rows), key=lambda model: model != RECOMMENDER)

    @property
    def slices(self) -> list[str]:
        """Slice names, all requests first."""
        return sorted(dict.fromkeys(part for _, part, _ in self.rows), key=lambda part: part != ALL)

    def row(self, model: str, part: str = ALL, metric: str = "ndcg@10") -> Row:
        """The row; empty where it was not measured."""
        return self.rows.get((model, part, metric), {})

    def by_model(self) -> str:
        """A plot of PLOTTED over all requests, one line a model."""
        return plots.dots(
            [
                plots.Dots(LABELS[metric], tuple((model, (self._mark(model, ALL, metric),)) for model in self.models))
                for metric in PLOTTED
            ]
        )

    def by_slice(self) -> str:
        """A plot of PLOTTED by slice, the recommender beside its baseline."""
        pair = (RECOMMENDER, self.versus)
        return plots.dots(
            [
                plots.Dots(
                    LABELS[metric], tuple((p, tuple(self._mark(m, p, metric) for m in pair)) for p in self.slices)
                )
                for metric in PLOTTED
            ]
        )

    def _mark(self, model: str, part: str, metric: str) -> plots.Mark:
        row = self.row(model, part, metric)
        bounds = (row.get(name) for name in ("value", "low", "high"))
        return plots.Mark(model, Interval(*(float("nan" if b is None else b) for b in bounds)), model == RECOMMENDER)


def render(data: ReportData) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("recsys.monitor", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure, "small": small, "count": count, "percent": percent, "svg": Markup}
    frozen = _mode(
        "Lists made before the day", "Nothing of the day is known: one list a user, made at its start.", data.metrics
    )
    about = "Each behaviour of the day is a request, answered with all that lies strictly before it."
    streaming = [] if data.streaming is None else _mode("Lists made at each request", about, data.streaming)
    return environment.get_template("report.html.j2").render(
        data=data,
        modes=[*frozen, *streaming],
        labels=LABELS,
        own=RECOMMENDER,
        chosen=_chosen(data.selection),
        curves={model: plots.curves(own) for model, own in _by_model(data.curves).items()},
    )


def write_report(data: ReportData, path: Path) -> None:
    """Write the page to `path`; its folder is made if absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(data), encoding="utf-8")


def _mode(title: str, about: str, table: pa.Table) -> list[Mode]:
    """The mode; none where nobody was tested."""
    rows = {(row["model"], row["slice"], row["metric"]): row for row in table.to_pylist()}
    return [Mode(title, about, rows, str(table["versus"][0]))] if rows else []


def _chosen(selected: Selected | None) -> str:
    """Plots of the selection's figures; empty where none was measured."""
    figures = [] if selected is None else selection.measured(selected)
    return plots.bars([selection.bars(selected, figure) for figure in figures]) if selected and figures else ""


def _by_model(curves: Iterable[Curve]) -> dict[str, list[Curve]]:
    found: dict[str, list[Curve]] = {}
    for curve in curves:
        found.setdefault(curve.model, []).append(curve)
    return found


def figure(value: float | None) -> str:
    """A number with three or four significant digits; an en dash for what is unknown."""
    if value is None or value != value:
        return "–"
    digits = 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3 if abs(value) >= 0.1 else 4
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def small(value: float | None) -> str:
    """Two significant digits, for figures of any size."""
    return "–" if value is None else f"{value:.2g}".replace("-", "\N{MINUS SIGN}")


def count(value: float | None) -> str:
    """A whole number, thousands set apart by commas."""
    return "–" if value is None else f"{int(value):,}"


def percent(value: float | None) -> str:
    """A share in percent with one digit."""
    return "–" if value is None or value != value else f"{100 * value:.1f}%"
