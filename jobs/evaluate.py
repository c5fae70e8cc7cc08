"""Measure the champion on --date, which it has not seen, beside popularity, and write the report page."""

from __future__ import annotations

import argparse
import sys

from recsys import flow
from recsys.job import Context, Job, day_argument, run
from recsys.monitor.evaluate import evaluate_day
from recsys.registry.champion import required_champion


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    day_argument(parser, "the test day")


JOB = Job(**flow.contract("evaluate"), about=__doc__, arguments=arguments)


def main(context: Context) -> None:
    """Print where the page is."""
    settings = context.settings
    bundle = required_champion(settings)
    page = evaluate_day(context.warehouse, settings, context.mapping.name, context.day, bundle)
    print(page)


if __name__ == "__main__":
    sys.exit(run(JOB, main))
