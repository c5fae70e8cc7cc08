from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.serving.pace import Pace, fitted


def test_two_measurements_give_the_line_through_them() -> None:
    pace = fitted(0.02, 50, (50, 0.006), (200, 0.009))
    assert pace.each == pytest.approx(0.00002)
    assert pace.fixed == pytest.approx(0.005)
    assert pace.expected(100) == pytest.approx(0.007)


def test_candidates_fill_what_is_left_of_the_budget() -> None:
    pace = Pace(budget=0.01, least=20, fixed=0.004, each=0.00004)
    assert pace.allowed(0.0, 500) == 150  # .006 s are left for candidates
    assert pace.allowed(0.002, 500) == 100
    assert pace.allowed(0.002, 80) == 80  # there are no more
    assert pace.allowed(1.0, 500) == 20  # never fewer
    assert pace.allowed(1.0, 10) == 10


def test_a_loaded_machine_gets_fewer_and_recovers() -> None:
    pace = Pace(budget=0.012, least=1, fixed=0.004, each=0.00004)
    assert pace.allowed(0, 500) == 200
    for _ in range(60):
        pace.learn(100, 2 * pace.expected(100))
    assert pace.load == pytest.approx(2, rel=0.01)
    assert pace.allowed(0, 500) == pytest.approx(50, abs=2)
    for _ in range(60):
        pace.learn(100, 0.1 * pace.expected(100))
    assert pace.load == 1  # short histories do not make room for long ones


def test_no_budget_or_no_cost_trims_nothing() -> None:
    assert Pace(budget=0, least=1, fixed=1, each=1).allowed(9, 200) == 200
    assert fitted(0.001, 1, (50, 0.5), (200, 0.4)).allowed(9, 200) == 200


@given(st.floats(0, 1), st.integers(1, 1000), st.floats(0, 0.1), st.integers(1, 300))
def test_never_more_than_there_are_never_fewer_than_the_least(
    waited: float, full: int, budget: float, least: int
) -> None:
    allowed = Pace(budget=budget, least=least, fixed=0.003, each=0.00002).allowed(waited, full)
    assert min(least, full) <= allowed <= full
