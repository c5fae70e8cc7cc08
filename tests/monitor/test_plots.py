"""The plots' SVG: its words and places, parsed again."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from recsys.monitor.bootstrap import Interval
from recsys.monitor.plots import OTHER, OWN, Dots, Mark, curves, dots, draw_reliability
from recsys.monitor.report_data import Curve
from recsys.ranking.validation import Reliability

SVG = "{http://www.w3.org/2000/svg}"
NAN = float("nan")
LINES = (
    ("recommender", (Mark("recommender", Interval(0.25, 0.2, 0.3), True),)),
    ("popularity", (Mark("popularity", Interval(0.125, NAN, NAN), False),)),
    ("nobody", (Mark("nobody", Interval(NAN, NAN, NAN), False),)),
)


def words(svg: str) -> list[str]:
    return ["".join(node.itertext()).strip() for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def curve(what: str, series: str, *values: float) -> Curve:
    return Curve(model="ranker", what=what, series=series, epochs=tuple(range(1, len(values) + 1)), values=values)


def test_dots_name_every_line_and_write_the_known_values() -> None:
    found = words(dots([Dots("NDCG@10", LINES), Dots("Recall@20", LINES)]))
    assert found.count("NDCG@10") == found.count("Recall@20") == 1
    assert [name for name in found if name in dict(LINES)] == ["recommender", "popularity", "nobody"]  # shared, once
    assert (found.count("0.250"), found.count("0.125")) == (2, 2)
    assert "nan" not in found


def places(svg: str, colour: str) -> list[tuple[float, float]]:
    """Where markers of the colour lie."""
    uses = ElementTree.fromstring(svg).iter(f"{SVG}use")
    marked = (use for use in uses if colour in (use.get("style") or ""))
    return [(float(use.attrib["x"]), float(use.attrib["y"])) for use in marked]


def place_of(svg: str, word: str) -> float:
    """The x of a word that is centred at it."""
    (node,) = (n for n in ElementTree.fromstring(svg).iter(f"{SVG}text") if "".join(n.itertext()).strip() == word)
    found = re.search(r"translate\(([0-9.]+)", node.get("transform", ""))
    return float(node.attrib["x"] if found is None else found[1])


def test_marks_lie_where_their_values_are() -> None:
    svg = dots([Dots("x", LINES[:2])])
    (own,), (other,) = places(svg, OWN), places(svg, OTHER)
    assert own[1] < other[1]  # first line above
    low, high = (place_of(svg, tick) for tick in ("0.00", "0.24"))
    assert abs((own[0] - low) / (high - low) * 0.24 - 0.25) < 1e-3
    assert abs((other[0] - low) / (high - low) * 0.24 - 0.125) < 1e-3


def test_curves_stand_in_a_panel_for_each_quantity_and_are_named_where_several_share_it() -> None:
    svg = curves(
        [curve("Log loss", "training", 3, 2), curve("Log loss", "validation", 3, 2.5), curve("AUC", "held out", 0.7)]
    )
    found = words(svg)
    assert [word for word in found if word in ("Log loss", "AUC")] == ["Log loss", "AUC"]
    assert ("training" in found, "validation" in found, "held out" in found) == (True, True, False)
    assert found.count("epoch") == 2
    assert 'aria-label="Training curves: Log loss, AUC"' in svg


def test_the_same_data_gives_the_same_plot_and_other_data_other_ids() -> None:
    one, again, other = (dots([Dots("x", LINES[:n])]) for n in (2, 2, 1))
    assert one == again
    ids = [set(re.findall(r'id="([^"]+)"', svg)) for svg in (one, other)]
    assert ids[0] & ids[1] == set()
    for svg in (one, other):
        assert {name[1:] for name in re.findall(r'href="([^"]+)"', svg)} <= set(re.findall(r'id="([^"]+)"', svg))


def test_text_is_text_and_global_state_is_left_alone() -> None:
    before = dict(matplotlib.rcParams)
    svg = curves([curve('a < b & "c" in $ and $', "s", 1, 2)])
    assert words(svg).count('a < b & "c" in $ and $') == 1
    assert ElementTree.fromstring(svg).get("aria-label") == 'Training curves: a < b & "c" in $ and $'
    assert dict(matplotlib.rcParams) == before


def test_reliability_is_drawn_where_its_bins_are() -> None:
    axes = Figure().subplots()
    predicted, observed = np.asarray([0.1, 0.5]), np.asarray([0.2, 0.5])
    draw_reliability(axes, Reliability(predicted=predicted, observed=observed, examples=np.asarray([3, 1])))
    corner, curve = axes.get_lines()
    assert np.asarray(corner.get_xydata()).tolist() == [[0, 0], [0.525, 0.525]]
    assert np.asarray(curve.get_xydata()).tolist() == [[0.1, 0.2], [0.5, 0.5]]
    assert axes.get_title() == "calibration error 0.0750 over 4 held-out examples"
