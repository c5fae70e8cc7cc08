"""Rebuild `user_profiles` from `events` for other settings of features, beside the running stream, then switch to it.

Readers see the old rows until all new ones are there. Run it again after an interruption: it goes on. Afterwards start
jobs/stream.py with the same settings; one that still runs with the old ones ends at its next batch (exit code 4).
"""

from __future__ import annotations

import argparse
import sys

from recsys import queries
from recsys.features.rebuild import JOB as NAME
from recsys.features.rebuild import rebuild
from recsys.job import Context, Job, run
from recsys.tables import EVENTS, USER_PROFILES


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    parser.add_argument("--anew", action="store_true", help="a new epoch even if no setting has changed")


JOB = Job(name=NAME, about=__doc__, reads=(EVENTS.name,), writes=(USER_PROFILES.name,), arguments=arguments)


def main(context: Context) -> None:
    """Build the next epoch and switch to it."""
    queries.log_progress(context.spark)
    rebuild(context.warehouse, context.settings, context.arguments.anew)


if __name__ == "__main__":
    sys.exit(run(JOB, main))
