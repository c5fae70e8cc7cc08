"""Embed all users and items with the champion's encoder, on executors."""

from __future__ import annotations

import sys

from recsys import flow
from recsys.encoder.job import write_embeddings
from recsys.job import Context, Job, run
from recsys.registry.bundle import ENCODER
from recsys.registry.champion import required_champion

JOB = Job(**flow.contract("embed"), about=__doc__)


def main(context: Context) -> None:
    """Append the vectors under the bundle's id."""
    bundle = required_champion(context.settings)
    write_embeddings(context.warehouse, bundle.folder / ENCODER, bundle.id)


if __name__ == "__main__":
    sys.exit(run(JOB, main))
