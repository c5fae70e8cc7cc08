"""Spark queries side by side: most of a small one is the driver's work, so two take little more time than one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from pyspark.sql import SparkSession
from pyspark.util import inheritable_thread_target

MOST = 8  # at once
P = ParamSpec("P")
T = TypeVar("T")


class Together:
    """Calls that run at once, each with the session's tags and properties of the thread that begins it."""

    def __init__(self, spark: SparkSession, pool: ThreadPoolExecutor) -> None:
        self._spark, self._pool = spark, pool

    def begin(self, call: Callable[P, T], *args: P.args, **more: P.kwargs) -> Future[T]:
        """Start the call. Its `result()` waits for it, and raises what it raised."""
        found: Future[T] = self._pool.submit(inheritable_thread_target(self._spark)(call), *args, **more)
        return found


@contextmanager
def together(spark: SparkSession) -> Iterator[Together]:
    """A place for calls that may run at once. All have ended when it is left, those beside a failed one too."""
    with ThreadPoolExecutor(MOST) as pool:
        yield Together(spark, pool)
