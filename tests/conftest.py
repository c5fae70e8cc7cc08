"""Fixtures that all tests share. Importing this file starts nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from recsys.java import ARCHIVE, mapping

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"

# Two processes share two cores: more threads each spin while they wait for one another. For whatever tests start, too.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Most of a JVM's first minutes is compiling code for the minutes after, and a small heap needs no threads to clean it.
# The quick compiler alone would get 48 MB for its code, all of which these tests fill: it would compile it again.
JAVA = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC"
CLASSES = ROOT / ARCHIVE  # made by `make install`: also the cluster's JVMs start from it
if CLASSES.is_file():
    JAVA += f" {mapping(CLASSES)}"
os.environ.setdefault("JDK_JAVA_OPTIONS", JAVA)

settings.register_profile("house", deadline=None)  # a busy machine is no failure; speed is measured in benchmarks
settings.load_profile("house")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that uses the session, also through another fixture: `-m "not spark"` needs no Java.

    Files with slow tests come first: of two processes, none is left alone with such a file at the end.
    """
    for item in items:
        if "spark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.spark)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def jvm_runs() -> bool:
    """Whether this process has started Spark's JVM; does not import pyspark."""
    context = getattr(sys.modules.get("pyspark"), "SparkContext", None)
    return context is not None and context._gateway is not None


@pytest.fixture(autouse=True)
def _no_java_unless_marked(request: pytest.FixtureRequest) -> Iterator[None]:
    before = jvm_runs()
    yield
    if not before and jvm_runs() and not request.node.get_closest_marker("spark"):
        pytest.fail(f"{request.node.name} started a JVM: use the fixture `spark`, or mark the test")


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """One local session for all tests: 2 threads, 2 shuffle partitions, its warehouse in a temporary folder."""
    from recsys.config import Settings
    from recsys.session import open_session

    small = {
        "spark.master": "local[2]",
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.memory": "2g",
        "spark.sql.adaptive.enabled": "false",  # tiny tables: planning twice costs more than it saves
    }
    session = open_session(Settings(warehouse=str(tmp_path_factory.mktemp("warehouse")), spark=small), "tests")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """`shared_data("globo_clicks")` is the folder of a public data set; the test is skipped where it is absent."""

    def folder(name: str) -> Path:
        path = SHARED / name
        if not path.is_dir():
            pytest.skip(f"../shared/data/{name} is absent: the data set lies beside the clone, not in it")
        return path

    return folder
