import json

import numpy as np
import pytest

from recsys.simulate import rows as r
from recsys.simulate.days import of_origin
from recsys.simulate.lines import FIELDS, json_lines
from recsys.simulate.shop import Shop
from tests.simulate.logs import defect_of

MOMENT = 1_740_960_000_000_000  # 2025-03-03 00:00 UTC


def test_a_line_by_hand(shop: Shop) -> None:
    rows = r.make_rows(
        2,
        id=[255, 1],
        time=[MOMENT + 61_002_000, MOMENT],
        sent=MOMENT + 62_000_000,
        user=[42, -1],
        session=[16, 17],
        kind=[r.PURCHASE, r.SEARCH],
        item=[7, -1],
        price=[1205, -1],
        quantity=[2, 0],
        query=[-1, 0],
        request=[0, 10],
        device=[1, 0],
    )
    first, second = json_lines(shop, rows).to_pylist()
    assert first == (
        '{"id":"e00000000000000ff","ts":"2025-03-03T00:01:01.002Z","user":"u000042","session":"s0000000000000010",'
        '"type":"purchase","item":"i00007","price":12.05,"qty":2,"device":"desktop",'
        '"sent_at":"2025-03-03T00:01:02.000Z"}'
    )
    found = json.loads(second)
    assert list(found) == ["id", "ts", "session", "type", "query", "request", "device", "sent_at"]
    assert (found["ts"], found["type"], found["request"]) == ("2025-03-03T00:00:00.000Z", "search", "r000000000000000a")


@pytest.mark.parametrize(
    ("minor", "text"), [(0, "0.00"), (5, "0.05"), (199, "1.99"), (-250, "-2.50"), (10**9, "10000000.00")]
)
def test_prices_have_two_digits(shop: Shop, minor: int, text: str) -> None:
    (line,) = json_lines(shop, r.make_rows(1, price=minor)).to_pylist()
    assert f'"price":{text},' in line


def test_every_planted_defect_is_one_and_nothing_else_is(shop: Shop) -> None:
    rows = r.join([of_origin(shop, day) for day in (1, 2, 3)])
    lines = json_lines(shop, rows).to_pylist()
    names = [None if code < 0 else r.DEFECTS[code] for code in rows.defect.tolist()]
    assert [defect_of(line) for line in lines] == names
    assert set(names) == {None, *r.DEFECTS}


def test_fields_follow_their_order_and_the_numbers_survive(shop: Shop) -> None:
    rows = of_origin(shop, 1)
    rows = rows.take(rows.defect == r.CLEAN)
    for row, line in enumerate(json_lines(shop, rows).to_pylist()):
        found = json.loads(line)
        assert list(found) == [field for field in FIELDS if field in found]
        assert int(found["id"][1:], 16) == rows.id[row]
        assert found.get("user", "u-1") == (f"u{rows.user[row]:06d}" if rows.user[row] >= 0 else "u-1")
        assert found.get("item", "i-1") == (f"i{rows.item[row]:05d}" if rows.item[row] >= 0 else "i-1")
        assert round(found.get("price", -0.01) * 100) == rows.price[row]
        assert found.get("position", 0) == rows.position[row]
        assert r.KINDS.index(found["type"]) == rows.kind[row]
        assert (np.datetime64(found["ts"][:-1], "us").astype(np.int64), "Z") == (rows.time[row], found["ts"][-1])


def test_no_rows_no_lines(shop: Shop) -> None:
    assert json_lines(shop, r.make_rows(0)).to_pylist() == []
