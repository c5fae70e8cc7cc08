"""Train the ranker on the labels before --date and let the new bundle challenge the champion on that day.

The alias moves only if the new bundle has been loaded back from the registry, has answered real requests and is ahead.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from recsys import flow
from recsys.job import Context, Job, day_argument, run
from recsys.monitor.challenge import train_and_challenge
from recsys.ranking.pinned import read_pinned
from recsys.registry.champion import champion


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    day_argument(parser, "the comparison is made on it, training ends before it")
    parser.add_argument(
        "--pins",
        type=Path,
        metavar="FILE",
        help="learn from the examples of an earlier run, made again: its artifacts/examples/DAY.json",
    )
    parser.add_argument("--full", action="store_true", help="from the beginning, even where there is a champion")


JOB = Job(**flow.contract("train_ranker"), about=__doc__, arguments=arguments)


def main(context: Context) -> None:
    """Exit code 4 where the bundle was refused; the champion stays what it was."""
    asked, settings = context.arguments, context.settings
    start = None if asked.full else champion(settings)
    pinned = read_pinned(asked.pins) if asked.pins else None
    train_and_challenge(context.warehouse, settings, context.day, start, pinned).require()


if __name__ == "__main__":
    sys.exit(run(JOB, main))
