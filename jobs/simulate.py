"""Write days of the simulated shop, or emit events at a set rate: OUT/events, OUT/catalogue.jsonl.gz, OUT/truth."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from recsys import log
from recsys.errors import RecsysError
from recsys.simulate.load import check_rate, emit
from recsys.simulate.settings import read_days, read_settings
from recsys.simulate.shop import open_shop
from recsys.simulate.write import write_catalogue, write_days, write_truth

SIZES = ("users", "items", "events_per_day", "seed")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--out", required=True, type=Path, help="folder of events, catalogue and truth")
    made.add_argument("--days", required=True, help="A..B, both included, or one day; day 1 is the first")
    made.add_argument("--rate", type=float, help="events a second, each dated now, until the days are used up")
    for name in SIZES:
        made.add_argument(f"--{name.replace('_', '-')}", help=f"the same as --set {name}=")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any setting of the shop")
    made.add_argument("--dry-run", action="store_true", help="show what would be written; do nothing")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code: 0 done, 2 settings or command line, 4 refused."""
    asked = parser().parse_args(argv)
    try:
        days = first, last = read_days(asked.days)
        check_rate(asked.rate)
        settings = read_settings([f"{k}={v}" for k in SIZES if (v := getattr(asked, k)) is not None] + asked.set)
        if asked.dry_run:
            print(f"simulate: days {first} to {last} into {asked.out}\n{settings.model_dump_json(indent=2)}")
            return 0
        shop = open_shop(settings)
        write_truth(shop, asked.out)
        write_catalogue(shop, asked.out, last)
        batches = emit(shop, asked.out, *days, asked.rate) if asked.rate else write_days(shop, asked.out, *days)
        with log.progress("simulate", (last - first + 1) * settings.events_per_day, "events", 2.0) as bar:
            for counts in batches:
                bar.advance(counts.lines)
    except RecsysError as error:
        print(f"simulate: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
