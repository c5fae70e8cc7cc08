from collections import Counter

import numpy as np
import pytest

from recsys.simulate import rows as r
from recsys.simulate.behaviours import behave
from recsys.simulate.noise import CARRY_DAYS, disturb, identify
from recsys.simulate.sessions import DAY_US, HOUR_US, day_start
from recsys.simulate.shop import Shop

DAY = 4


@pytest.fixture(scope="module")
def clean(shop: Shop) -> r.Rows:
    return r.join([behave(shop, DAY)] * 4)


@pytest.fixture(scope="module")
def rows(shop: Shop, clean: r.Rows) -> r.Rows:
    return disturb(shop, DAY, clean)


def test_ids_are_distinct_over_days(shop: Shop) -> None:
    ids = np.concatenate([identify(shop, day, 2000) for day in range(1, 30)])
    assert len(np.unique(ids)) == len(ids)
    assert not np.isin(identify(shop, 1, 2000, salt=1), ids).any()


def test_all_behaviours_are_sent_and_defects_and_resends_come_on_top(shop: Shop, clean: r.Rows, rows: r.Rows) -> None:
    kept = rows.take(rows.defect == r.CLEAN)
    assert len(kept) == len(clean)
    np.testing.assert_array_equal(kept.item, clean.item)
    np.testing.assert_array_equal(kept.time, clean.time // 1000 * 1000)
    counts = Counter(rows.defect.tolist())
    for share, found in ((0.05, counts[r.DUPLICATE]), (0.05, sum(counts[code] for code in range(len(r.DEFECTS))))):
        assert abs(found - share * len(clean)) < 5 * (share * len(clean)) ** 0.5
    assert set(counts) == {r.CLEAN, r.DUPLICATE, *range(len(r.DEFECTS))}
    sound = rows.take(rows.defect != r.DUPLICATE)
    assert len(np.unique(sound.id)) == len(sound)


def test_a_resend_repeats_a_clean_line_and_comes_later_or_at_once(rows: r.Rows) -> None:
    kept, again = rows.take(rows.defect == r.CLEAN), rows.take(rows.defect == r.DUPLICATE)
    place = {number: row for row, number in enumerate(kept.id.tolist())}
    original = kept.take(np.asarray([place[number] for number in again.id.tolist()]))
    for name in ("time", "user", "session", "kind", "item", "price", "sent", "request"):
        np.testing.assert_array_equal(getattr(again, name), getattr(original, name))
    wait = (again.arrive - original.arrive) / HOUR_US
    assert wait.min() == 0
    assert (wait == 0).mean() == pytest.approx(0.5, abs=0.15)
    assert wait.max() <= 36


def test_lines_arrive_after_they_happen_and_within_the_carry(shop: Shop, rows: r.Rows) -> None:
    assert (rows.time % 1000 == 0).all()
    assert (rows.sent % 1000 == 0).all()
    assert (rows.sent >= rows.time).all()
    assert (rows.arrive >= rows.sent).all()
    assert rows.arrive.max() < day_start(shop, DAY) + (CARRY_DAYS + 1) * DAY_US
    late = (rows.sent - rows.time) / HOUR_US
    assert (late > 0.01).mean() == pytest.approx(0.05, abs=0.03)  # sessions without a network
    assert late.max() > 2


def test_each_defect_sits_in_its_column(rows: r.Rows) -> None:
    of = {name: rows.take(rows.defect == code) for code, name in enumerate(r.DEFECTS)}
    assert (of["negative_price"].price < -1).all()  # -1 would be: no price
    assert set(of["bad_rating"].kind.tolist()) == {r.RATING}
    assert (of["bad_rating"].rating == 11).all()
    assert set(of["bad_quantity"].kind.tolist()) == {r.CART}
    assert (of["bad_quantity"].quantity < 0).all()


def test_a_day_without_looks_has_no_defects(shop: Shop) -> None:
    assert len(disturb(shop, DAY, r.make_rows(0))) == 0
