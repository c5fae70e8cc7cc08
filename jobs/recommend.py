"""Make every active user's Top-N with the champion, as of the end of --date."""

from __future__ import annotations

import argparse
import sys
from datetime import timedelta

from recsys import flow
from recsys.days import start_of
from recsys.job import Context, Job, day_argument, run
from recsys.monitor.challenge import snapshots_folder
from recsys.registry.bundle import ENCODER, RANKER
from recsys.registry.champion import required_champion
from recsys.topn.job import write_recommendations


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    day_argument(parser, "lists are as of its end")


JOB = Job(**flow.contract("recommend"), about=__doc__, arguments=arguments)


def main(context: Context) -> None:
    """Append the lists."""
    settings = context.settings
    bundle = required_champion(settings)
    at = start_of(context.day + timedelta(days=1), settings.timezone)
    models = (bundle.folder / ENCODER, bundle.folder / RANKER, bundle.id)
    write_recommendations(context.warehouse, settings, *models, at, snapshots_folder(settings))


if __name__ == "__main__":
    sys.exit(run(JOB, main))
