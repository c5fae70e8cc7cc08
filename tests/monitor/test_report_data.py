"""The page's plain values: where a figure lies, and what may be left out."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict, replace
from datetime import date, datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.monitor.report_data import Bots, Range, Recommended, ReportData, Sample
from recsys.monitor.timesplit import RESULT
from tests.monitor import sample

MUG = Recommended(name="Mug", score=0.5, source="popular", reason="popular in the last day")
PARTS = (
    *sample.data().batches[:1],
    *sample.curves()[:1],
    *sample.stages()[:1],
    Range(name="Gini", value=0.5, low=0.25, high=0.75),
    Bots(found=1, true=2, precision=1.0, recall=0.5),
    MUG,
    Sample(user="3f9a", recent=("viewed Mug",), items=(MUG,)),
)
FIGURE = st.floats(allow_nan=False) | st.integers(-3, 3).map(float)  # small ones meet the bounds often


@given(FIGURE, FIGURE, FIGURE)
def test_a_figure_is_outside_where_moving_it_into_the_range_changes_it(value: float, one: float, two: float) -> None:
    low, high = sorted((one, two))
    verdict = Range(name="x", value=value, low=low, high=high).verdict
    moved = sorted((low, value, high))[1]  # the middle of the three
    assert verdict == ("inside" if moved == value else "below" if moved > value else "above")


@given(FIGURE, FIGURE, FIGURE)
def test_above_in_a_range_is_below_in_its_mirror_image(value: float, one: float, two: float) -> None:
    low, high = sorted((one, two))
    turned = {"below": "above", "above": "below", "inside": "inside"}
    mirrored = Range(name="x", value=-value, low=-high, high=-low)
    assert mirrored.verdict == turned[Range(name="x", value=value, low=low, high=high).verdict]


def test_a_figure_that_is_not_defined_is_not_inside() -> None:
    assert Range(name="gap", value=float("nan"), low=0, high=30).verdict == "unknown"


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_a_part_of_the_page_is_a_value_that_cannot_change(part: Any) -> None:
    first = next(iter(asdict(part)))
    assert {part: "kept"}[replace(part)] == "kept"  # equal values are one key
    assert replace(part, **{first: None}) != part
    with pytest.raises(FrozenInstanceError):
        setattr(part, first, None)


def test_a_sample_list_is_written_out_with_its_items() -> None:
    place = {"name": "Mug", "score": 0.5, "source": "popular", "reason": "popular in the last day"}
    found = asdict(Sample(user="3f9a", recent=("viewed Mug",), items=(MUG, MUG)))
    assert found == {"user": "3f9a", "recent": ("viewed Mug",), "items": (place, place)}


def test_a_real_source_may_leave_out_what_only_a_simulation_has() -> None:
    page = ReportData(
        source="globo_clicks",
        day=date(2024, 3, 31),
        zone="UTC",
        made_at=datetime(2024, 4, 1, tzinfo=timezone.utc),
        bundle="0f3c",
        seed=1,
        facts={},
        batches=(),
        reasons={},
        metrics=RESULT.empty_table(),
        scores={},
        curves=(),
        samples=(),
        versions={},
        flow=(),
    )
    assert (page.verdict, page.streaming, page.realism, page.bots) == ("", None, (), None)


def test_a_page_is_itself_only_so_that_tables_are_never_compared() -> None:
    page = sample.data()
    again = replace(page)
    assert page != again
    assert len({page, again}) == 2
    with pytest.raises(FrozenInstanceError):
        page.seed = 2  # type: ignore[misc]
