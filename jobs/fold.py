"""Keep each user's newest profile and sums of item tiles alone, and pack small files into large ones."""

from __future__ import annotations

import argparse
import sys

from recsys import flow
from recsys.days import start_of
from recsys.fold import fold
from recsys.job import Context, Job, day_argument, run
from recsys.log import progress


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    day_argument(parser, "tiles of UTC days before its first one are summed")


JOB = Job(**flow.contract("fold"), about=__doc__, arguments=arguments)


def main(context: Context) -> None:
    """Table by table; readers and a running stream need not stop."""
    settings = context.settings
    day = start_of(context.day, settings.timezone).date()
    with progress("fold", unit="tables") as bar:
        for _ in fold(context.warehouse, settings.fold, day):
            bar.advance(1)


if __name__ == "__main__":
    sys.exit(run(JOB, main))
