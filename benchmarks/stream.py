"""The streaming path: throughput beside pass-through, growth with the users, hot keys, freshness under load."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks._freshness import Load, freshness
from benchmarks._hot_keys import hot_keys
from benchmarks._pipeline import session
from benchmarks._record import Run, main
from benchmarks._scaling import SMALL, scaling
from benchmarks._throughput import throughput
from recsys.config import Settings

PARTS = ("throughput", "scaling", "hot_keys", "freshness")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The benchmark's own options."""
    parser.add_argument("--only", choices=PARTS, action="append", help=f"parts to run, by default {', '.join(PARTS)}")
    parser.add_argument("--mapping", default=Settings().mapping, help="the simulated shop's mapping")
    parser.add_argument("--rate", type=int, default=2000, help="events a second under which freshness is measured")
    parser.add_argument("--seconds", type=float, default=60, help="for so long")
    parser.add_argument("--growth-seconds", type=float, default=2400, help="at most, to build the large population")


def measure(run: Run, asked: argparse.Namespace) -> None:
    """The parts, one after the other in one session."""
    parts = asked.only or PARTS
    with tempfile.TemporaryDirectory(prefix="recsys-bench-") as name:
        folder = Path(name)
        spark = session(folder)
        if "throughput" in parts:
            throughput(run, spark, folder / "throughput", asked.mapping, asked.quick)
        if "scaling" in parts:
            small = SMALL // 20 if asked.quick else SMALL
            scaling(run, spark, folder / "scaling", asked.mapping, small=small, cap_s=asked.growth_seconds)
        if "hot_keys" in parts:
            hot_keys(run, spark, folder / "hot_keys", asked.mapping)
        if "freshness" in parts:
            load = Load(rate=asked.rate, measured_s=10 if asked.quick else asked.seconds)
            freshness(run, spark, folder / "freshness", asked.mapping, load)
        spark.stop()


if __name__ == "__main__":
    sys.exit(main("stream", __doc__ or "", measure, threads=2, arguments=arguments))
