"""Submitted by test_ranks.py: an order carried out by processes on executors; one line of JSON for what happens."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from recsys import config, log
from recsys.encoder.distribute import distribute, on_gpus, require_slots
from recsys.encoder.order import Begin, Order
from recsys.encoder.progress import EpochLog
from recsys.errors import ConfigError
from recsys.session import open_session


def tell(kind: str, found: object) -> None:
    """One line."""
    sys.stdout.write(json.dumps({kind: found}) + "\n")
    sys.stdout.flush()


def on_epoch(done: EpochLog) -> None:
    """As soon as the driver knows of it."""
    tell("epoch", asdict(done))


def main(file: str) -> None:
    """The training, and what is refused once all executors are there."""
    log.configure_once()
    order = Order.model_validate_json(Path(file).read_text(encoding="utf-8"))
    spark = open_session(config.load(["conf/cluster.yaml"], [f"warehouse={order.folder}-tables"]), "rank probe")
    logs = distribute(spark, order, Begin(), on_epoch)
    tell("epochs", len(logs))
    for ask in (lambda: require_slots(spark, 3, 0.0), lambda: on_gpus(spark, "cuda")):
        try:
            ask()
        except ConfigError as error:
            tell("refused", str(error))


if __name__ == "__main__":
    main(sys.argv[1])
