"""A small shop in which everything happens often, so that a few days show all of it."""

from __future__ import annotations

import pytest

from recsys.simulate.settings import SimulateSettings
from recsys.simulate.shop import Shop, open_shop


@pytest.fixture(scope="session")
def small() -> SimulateSettings:
    return SimulateSettings(
        seed=7, users=150, items=200, events_per_day=1500, cluster_items=20, bots=6,
        anonymous=0.1, offline=0.05, duplicates=0.05, malformed=0.05,
    )  # fmt: skip


@pytest.fixture(scope="session")
def shop(small: SimulateSettings) -> Shop:
    return open_shop(small)
