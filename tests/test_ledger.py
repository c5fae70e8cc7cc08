"""The tables that keep account of the others."""

from __future__ import annotations

from recsys.ledger import BATCHES, COMMIT, COVERAGE, PARITY
from recsys.tables import ALL


def test_rows_of_each_ledger_say_which_batch_wrote_them() -> None:
    assert all(set(COMMIT) <= set(table.columns) for table in (BATCHES, COVERAGE, PARITY))
    assert {BATCHES, COVERAGE, PARITY} <= set(ALL)
