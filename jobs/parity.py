"""Compare the stored features of a sample with the same computed anew from `events`, for table `parity` and MLflow."""

from __future__ import annotations

import argparse
import logging
import sys

from recsys import flow
from recsys.days import start_of
from recsys.features import parity
from recsys.job import Context, Job, day_argument, run
from recsys.log import event
from recsys.monitor.parity import publish

log = logging.getLogger(__name__)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    day_argument(parser, "items are compared on its first UTC day")


JOB = Job(**flow.contract("parity"), about=__doc__, arguments=arguments)


def main(context: Context) -> None:
    """Say how many values differ; it fails no night, since the features are not wrong for being checked."""
    start = start_of(context.day, context.settings.timezone)
    found = parity.compare(context.warehouse, context.settings, start.date())
    parity.write(context.warehouse, context.day, found)
    differing = sum(one.mismatch + one.missing + one.extra for one in found)
    level = logging.WARNING if differing else logging.INFO
    publish(context.settings, context.warehouse.view(), context.day, found)
    event(log, "parity", level, day=context.day.isoformat(), features=len(found), differing=differing)


if __name__ == "__main__":
    sys.exit(run(JOB, main))
