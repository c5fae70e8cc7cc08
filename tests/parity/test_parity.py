"""A handful of logs; `make parity` runs hundreds of them, a hundred times as long."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow


def test_every_way_of_computing_features_equals_the_oracle(spark: SparkSession, tmp_path: Path) -> None:
    from tests.parity.suite import run

    found = run(spark, tmp_path, logs=4, size=1500, rounds=2, seed=1, points=250)
    assert found.wrong == []
    assert found.points["after its batch"] == 2 * 5 * 4
    assert min(found.points["served"], found.points["learned from"]) >= 900
    assert min(found.points["items from events"], found.points["items from tiles"]) > 100
