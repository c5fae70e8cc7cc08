"""Run the night's jobs in order for --date and for the nights before it that were missed.

It goes on at the job that failed, and refuses to run twice at once. Exit codes: 1 or 2 a job failed, 3 some job had no
data, 4 the new bundle was refused, 0 all is done.
"""

from __future__ import annotations

import argparse
import sys
from datetime import date

from jobs import backfill, catalogue, embed, evaluate, fold, parity, recommend, stream, train_encoder, train_ranker
from recsys import flow, nightly
from recsys.job import Context, Job, day_argument, run, run_inside

JOBS = {
    module.JOB.name: module
    for module in (stream, catalogue, backfill, parity, fold, train_encoder, train_ranker, embed, recommend, evaluate)
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    day_argument(parser, "the business day that has ended")


JOB = Job(
    name="nightly",
    about=__doc__,
    reads=tuple(dict.fromkeys(store for stage in flow.STAGES for store in stage.reads)),
    writes=tuple(dict.fromkeys(store for stage in flow.STAGES for store in stage.writes)),
    arguments=arguments,
)


def main(context: Context) -> int:
    """The worst exit code of the jobs that ran."""
    settings = context.settings

    def step(name: str, day: date) -> int:
        module = JOBS[name]
        return run_inside(module.JOB, module.main, context, nightly.options(name, day, settings.timezone))

    return nightly.run_nights(settings, context.day, flow.NIGHT, step)


if __name__ == "__main__":
    sys.exit(run(JOB, main))
