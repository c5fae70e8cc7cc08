"""The shop, and its first night in this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from jobs import nightly
from recsys.registry.champion import required_champion
from tests.jobs.conftest import own_process
from tests.nights.night import FIRST, Done, Nights, make, open_shop, progress_log, watched

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="package")
def nights(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    with own_process(), progress_log(spark):
        yield open_shop(tmp_path_factory.mktemp("night"))


@pytest.fixture(scope="package")
def first(spark: SparkSession, nights: Nights) -> Done:
    """The night of the fourth day, with all four in one: nothing was there before."""
    make(nights.shop, "1..4")
    with watched(nights, nightly.JOBS):
        code, lines = nights.run(FIRST)
    return Done(code, lines, required_champion(nights.settings), nights.view(spark))
