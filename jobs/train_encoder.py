"""Train the encoder on the sequences before --until, or continue from the champion's on what is newer."""

from __future__ import annotations

import argparse
import sys
from datetime import date

from recsys.encoder.job import train_encoder
from recsys.job import Context, Job, run
from recsys.registry.champion import champion


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    parser.add_argument("--until", required=True, type=date.fromisoformat, help="business day: learn from before it")
    parser.add_argument("--full", action="store_true", help="from the beginning, even where there is a champion")


JOB = Job(
    name="train_encoder",
    about=__doc__,
    reads=("events", "registry"),
    writes=("artifacts/encoders",),
    arguments=arguments,
)


def main(context: Context) -> None:
    """Train and keep the encoder in the artifacts' folder, named after --until."""
    settings, asked = context.settings, context.arguments
    start = None if asked.full else champion(settings)
    train_encoder(context.warehouse.view(), settings, asked.until, start.encoder if start else None)


if __name__ == "__main__":
    sys.exit(run(JOB, main))
