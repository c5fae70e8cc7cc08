"""Compare the stored features of a sample with the same computed anew from `events`, for table `parity` and MLflow."""

from __future__ import annotations

import argparse
import sys

from recsys import flow
from recsys.days import start_of
from recsys.features import parity
from recsys.job import Context, Job, day_argument, run
from recsys.monitor.parity import publish


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    day_argument(parser, "items are compared on its first UTC day")


JOB = Job(**flow.contract("parity"), about=__doc__, arguments=arguments)


def main(context: Context) -> None:
    """Compare and publish; what differs fails no night, since no feature is wrong for being checked."""
    start = start_of(context.day, context.settings.timezone)
    found = parity.compare(context.warehouse, context.settings, start.date())
    parity.write(context.warehouse, context.day, found)
    publish(context.settings, context.warehouse.view(), context.day, found)


if __name__ == "__main__":
    sys.exit(run(JOB, main))
