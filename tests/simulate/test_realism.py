from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

from recsys.simulate import rows as r
from recsys.simulate.days import arriving
from recsys.simulate.realism import GLOBO_CLICKS, Realism, outside, ranges, realism
from recsys.simulate.settings import SimulateSettings
from recsys.simulate.shop import open_shop

S = 1_000_000


def test_figures_by_hand() -> None:
    # Session A: x at 0 s, x at 10 s, y at 40 s. Session B of the same user: x at 50 s. Session C of another: x at 7 s.
    found = realism(
        ["u", "u", "v", "u", "u"],
        ["A", "B", "C", "A", "A"],
        ["x", "x", "x", "y", "x"],
        np.asarray([0, 50, 7, 40, 10]) * S,
    )
    assert found.gini == pytest.approx((4 - 1) / (2 * 5))  # counts 1 and 4
    assert found.top_percent == pytest.approx(4 / 5)
    assert found.session_mean == pytest.approx(5 / 3)
    assert found.session_median == 1
    assert found.gap_median_s == 20  # 10 and 30
    assert found.repeat_rate == pytest.approx(2 / 5)  # u met x three times


def test_equal_items_have_no_inequality_and_one_behaviour_no_gap() -> None:
    even = realism(np.arange(4), np.arange(4), [1, 2, 1, 2], np.arange(4))
    assert (even.gini, even.repeat_rate) == (0, 0)
    assert np.isnan(even.gap_median_s)


def test_top_percent_counts_one_item_in_a_hundred() -> None:
    item = np.concatenate([np.arange(300), np.zeros(10, dtype=np.int64), np.ones(5, dtype=np.int64)])
    found = realism(item, item, item, item)
    assert found.top_percent == pytest.approx((11 + 6 + 1) / 315)


def test_figures_outside_of_the_real_range_are_named() -> None:
    low = Realism(**{name: ends[0] for name, ends in ranges().items()})
    assert outside(low) == []
    high = {name: ends[1] for name, ends in ranges().items()}
    assert outside(Realism(**high)) == []
    assert outside(Realism(**(high | {"gini": 0.99}))) == ["gini is 0.990, real logs span 0.663 to 0.949"]
    assert len(outside(Realism(**{name: float("nan") for name in high}))) == 6


def test_the_default_shop_is_realistic() -> None:
    settings = SimulateSettings()
    log = r.join([rows for _, rows in arriving(open_shop(settings), 1, 3)])
    people = (log.user >= 0) & (log.user < settings.users) & (log.item >= 0)
    log = log.take((log.defect == r.CLEAN) & (log.kind != r.IMPRESSION) & people)
    assert outside(realism(log.user, log.session, log.item, log.time)) == []


def test_the_figures_of_the_real_logs_are_those_kept(shared_data: Callable[[str], Path]) -> None:
    files = sorted(shared_data("globo_clicks").glob("clicks_hour_*.csv.gz"))
    wanted = ["user_id", "session_id", "click_article_id", "click_timestamp"]
    types = dict.fromkeys(wanted, pa.int64())
    options = csv.ConvertOptions(include_columns=wanted, column_types=types)
    globo = pa.concat_tables(csv.read_csv(file, convert_options=options) for file in files)
    user, session, item, time = (globo[name].to_numpy() for name in wanted)
    assert asdict(realism(user, session, item, time * 1000)) == pytest.approx(asdict(GLOBO_CLICKS), abs=1e-6)
