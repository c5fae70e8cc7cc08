import numpy as np

from recsys.simulate import rows as r


def test_what_is_not_given_is_absent() -> None:
    rows = r.make_rows(2, kind=r.VIEW, time=[5, 6], user=[-1, 3])
    assert len(rows) == 2
    assert rows.time.tolist() == [5, 6]
    assert rows.kind.tolist() == [r.VIEW] * 2
    absent = (rows.item, rows.price, rows.query, rows.quantity, rows.rating, rows.request, rows.position, rows.defect)
    assert [column[0] for column in absent] == [-1, -1, -1, 0, 0, 0, 0, r.CLEAN]
    assert [c.dtype.name for c in (rows.user, rows.session, rows.quantity)] == ["int32", "uint64", "int16"]


def test_take_and_join_keep_rows_together() -> None:
    rows = r.make_rows(3, time=[1, 2, 3], item=[10, 20, 30])
    assert rows.take(np.asarray([2, 0])).item.tolist() == [30, 10]
    assert rows.take(rows.time > 1).item.tolist() == [20, 30]
    both = r.join([rows, rows.take(np.asarray([1]))])
    assert list(zip(both.time.tolist(), both.item.tolist(), strict=True)) == [(1, 10), (2, 20), (3, 30), (2, 20)]
    assert len(r.join([r.make_rows(0)])) == 0
