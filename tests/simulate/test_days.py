from dataclasses import fields

import numpy as np
import pytest

from recsys.simulate import rows as r
from recsys.simulate.days import arriving, of_origin
from recsys.simulate.noise import CARRY_DAYS
from recsys.simulate.sessions import DAY_US, day_start
from recsys.simulate.shop import Shop


def same(one: r.Rows, two: r.Rows) -> None:
    for field in fields(r.Rows):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name))


@pytest.fixture(scope="module")
def days(shop: Shop) -> dict[int, r.Rows]:
    return dict(arriving(shop, 1, 9))


def test_any_day_alone_equals_the_day_within_a_range(shop: Shop, days: dict[int, r.Rows]) -> None:
    assert list(days) == list(range(1, 10))
    for day in (1, 2, 6, 9):
        ((found, rows),) = arriving(shop, day, day)
        assert found == day
        same(rows, days[day])


def test_a_day_holds_what_arrives_on_it_in_order(shop: Shop, days: dict[int, r.Rows]) -> None:
    for day, rows in days.items():
        assert (rows.arrive >= day_start(shop, day)).all()
        assert (rows.arrive < day_start(shop, day) + DAY_US).all()
        keys = list(zip(rows.arrive.tolist(), rows.id.tolist(), strict=True))
        assert keys == sorted(keys)
    assert (days[6].time < day_start(shop, 6)).any()  # late ones are among them


def test_nothing_is_lost_and_nothing_comes_twice(shop: Shop, days: dict[int, r.Rows]) -> None:
    wanted: list[tuple[int, int]] = []
    for day in range(1, 10 - CARRY_DAYS):
        rows = of_origin(shop, day)
        wanted += zip(rows.id.tolist(), rows.arrive.tolist(), strict=True)
    arrived = r.join(list(days.values()))
    found = list(zip(arrived.id.tolist(), arrived.arrive.tolist(), strict=True))
    assert len(wanted) > 5000
    assert not set(wanted) - set(found)
    clean = arrived.id[arrived.defect != r.DUPLICATE]
    assert len(np.unique(clean)) == len(clean)


def test_a_resend_comes_after_its_original(days: dict[int, r.Rows]) -> None:
    arrived = r.join(list(days.values()))
    seen: set[int] = set()
    for number, defect in zip(arrived.id.tolist(), arrived.defect.tolist(), strict=True):
        assert (number in seen) == (defect == r.DUPLICATE)
        seen.add(number)
