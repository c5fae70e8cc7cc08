"""Rebuild derived tables for a range of days from `events`: the days that are missing or whose events changed."""

from __future__ import annotations

import argparse
import sys
from datetime import date, timedelta

from recsys import flow
from recsys.errors import ConfigError
from recsys.features.backfill import backfill
from recsys.job import Context, Job, run
from recsys.log import progress


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    parser.add_argument("--from", dest="first", required=True, type=date.fromisoformat, help="first UTC day, included")
    parser.add_argument("--to", dest="last", required=True, type=date.fromisoformat, help="last UTC day, included")


JOB = Job(**flow.contract("backfill"), about=__doc__, arguments=arguments)


def main(context: Context) -> None:
    """Backfill day by day, each chunk committed."""
    first, last = context.arguments.first, context.arguments.last
    if last < first:
        raise ConfigError(f"--to {last} lies before --from {first}: give the earlier day first.")
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    with progress("backfill", total=len(days), unit="days") as bar:
        for chunk in backfill(context.warehouse, context.settings, days):
            bar.advance(len(chunk))


if __name__ == "__main__":
    sys.exit(run(JOB, main))
