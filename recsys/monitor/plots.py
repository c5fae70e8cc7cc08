"""Plots of the report, as SVG text that takes its font from the page. matplotlib without global state.

Colours differ in lightness as well as in hue, and every line and point is also named in words.
"""

from __future__ import annotations

import hashlib
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from recsys.monitor.bootstrap import Interval
from recsys.monitor.report_data import Curve
from recsys.ranking.validation import Reliability

INK, QUIET, RULE = "#1c1e21", "#6a7078", "#d9dce0"
OWN, OTHER = "#0b5fa5", "#8a6d3b"
NAMES_APART = 11  # points between the names of two curves that end at one height
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "recsys",  # the same data gives the same file
    "font.family": "sans-serif",
    "font.size": 10,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": QUIET,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#eceef0",
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


@dataclass(frozen=True)
class Mark:
    """A value with its interval; `own` is the system under test."""

    name: str
    interval: Interval
    own: bool


@dataclass(frozen=True)
class Dots:
    """A dot plot: lines from top to bottom, each with one or more marks."""

    title: str
    lines: tuple[tuple[str, tuple[Mark, ...]], ...]


@dataclass(frozen=True)
class Bars:
    """Horizontal bars from top to bottom: name, value, whether it is one of our own; the others are outlines."""

    title: str
    lines: tuple[tuple[str, float, bool], ...]


def bars(panels: Sequence[Bars]) -> str:
    """Panels side by side, each with its own lines."""
    height = 0.9 + 0.2 * max(len(panel.lines) for panel in panels)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.2, height), layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            draw_bars(axes, panel)
        return _svg(figure, "Bars of " + ", ".join(panel.title for panel in panels))


def draw_bars(axes: Axes, panel: Bars) -> None:
    """One panel into its axes."""
    places, values = range(len(panel.lines)), [value for _, value, _ in panel.lines]
    colours = [OWN if own else "#ffffff" for _, _, own in panel.lines]
    axes.barh(places, values, height=0.7, color=colours, edgecolor=[OWN if own else OTHER for _, _, own in panel.lines])
    axes.set_yticks(places, [name for name, _, _ in panel.lines], fontsize=8)
    axes.set_ylim(len(panel.lines) - 0.4, -0.6)
    axes.set_title(panel.title)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_axisbelow(True)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)


def draw_reliability(axes: Axes, found: Reliability) -> None:
    """Predicted against observed shares: calibrated probabilities lie on the line from corner to corner."""
    most = 1.05 * float(max(found.predicted.max(), found.observed.max()))
    axes.plot([0, most], [0, most], color=QUIET, linewidth=1)
    axes.plot(found.predicted, found.observed, color=OWN, marker="o", markersize=3.5, linewidth=1.6)
    axes.set(xlabel="mean predicted probability", ylabel="share of positives", xlim=(0, most), ylim=(0, most))
    axes.set_title(f"calibration error {found.error:.4f} over {found.examples.sum():,} held-out examples")
    axes.grid()


def dots(panels: Sequence[Dots]) -> str:
    """Panels side by side with one shared list of lines; values are written beside their dots."""
    height = 0.7 + 0.46 * max(len(panel.lines) for panel in panels)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.2, height), layout="constrained")
        row = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axes, panel in zip(row, panels, strict=True):
            _draw_dots(axes, panel)
        row[0].set_ylim(max(len(panel.lines) for panel in panels) - 0.5, -0.5)
        return _svg(figure, "Dot plots of " + ", ".join(panel.title for panel in panels))


def _draw_dots(axes: Axes, panel: Dots) -> None:
    for line, (_, marks) in enumerate(panel.lines):
        for place, mark in enumerate(marks):
            y = line + 0.3 * (place - (len(marks) - 1) / 2)
            found, colour = mark.interval, OWN if mark.own else OTHER
            axes.plot([found.low, found.high], [y, y], color=colour, linewidth=2, solid_capstyle="round")
            axes.plot(
                [found.value], [y], marker="o" if mark.own else "D", color=colour, markersize=6 if mark.own else 5
            )
            if found.value == found.value:
                right = found.high if found.high == found.high else found.value
                axes.annotate(
                    f"{found.value:.3f}", (right, y), (6, 0), textcoords="offset points", va="center", color=colour
                )
    axes.set_yticks(range(len(panel.lines)), [label for label, _ in panel.lines])
    axes.set_title(panel.title)
    axes.set_xlim(left=0)
    axes.margins(x=0.18)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)


def curves(found: Sequence[Curve]) -> str:
    """One panel for each quantity, one line for each series, named at its end."""
    panels = list(dict.fromkeys(curve.what for curve in found))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6 * min(len(panels), 2), 2.5 * -(-len(panels) // 2)), layout="constrained")
        cells = figure.subplots(-(-len(panels) // 2), min(len(panels), 2), squeeze=False).ravel().tolist()
        for axes, what in zip(cells, panels, strict=False):
            _draw_curves(axes, what, [curve for curve in found if curve.what == what])
        for axes in cells[len(panels) :]:
            axes.set_axis_off()
        return _svg(figure, "Training curves: " + ", ".join(panels))


def _draw_curves(axes: Axes, what: str, lines: Sequence[Curve]) -> None:
    heights = sorted(curve.values[-1] for curve in lines)
    for number, curve in enumerate(lines):
        colour = (OWN, OTHER, QUIET)[number % 3]
        axes.plot(curve.epochs, curve.values, color=colour, marker="o", markersize=3.5, linewidth=1.6)
        if len(lines) > 1:
            end = (curve.epochs[-1], curve.values[-1])
            apart = NAMES_APART * (heights.index(curve.values[-1]) - (len(lines) - 1) / 2)  # where ends meet
            axes.annotate(curve.series, end, (6, apart), textcoords="offset points", va="center", color=colour)
    axes.set_title(what)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.grid(axis="y")


def _svg(figure: Figure, label: str) -> str:
    """The figure as an inline element; ids are made distinct from those of other figures on the page."""
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    body = text.getvalue()
    body = body[body.index("<svg") :]
    prefix = f"p{hashlib.sha256(body.encode()).hexdigest()[:8]}-"
    body = re.sub(r'id="', f'id="{prefix}', body)
    body = re.sub(r'(href="|url\()#', rf"\1#{prefix}", body)
    return body.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label)}" ', 1)
