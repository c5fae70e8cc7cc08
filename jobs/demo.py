"""The main job end to end: a simulated shop's next days, or your own events, through every stage of the night."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from jobs import nightly, simulate, stream
from recsys import demo
from recsys.errors import RecsysError, RefusedError
from recsys.job import run


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default=demo.SIMULATE, help="a mapping of conf/sources, or the path of your own")
    parser.add_argument("--data", default="", help="folder of the source's files")
    parser.add_argument("--date", type=date.fromisoformat, help="test day (default: the newest busy one)")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder of tables, models and reports")
    parser.add_argument(
        "--shop", action="append", default=[], metavar="KEY=VALUE", help="setting of the simulated shop"
    )
    return parser


def test_day(place: demo.Place, shop: Sequence[str]) -> date:
    """The day to test on: the newest of the shop, which is made now, or the newest busy one of the source."""
    if place.simulated:
        first, last = demo.next_days(place)
        code = simulate.main(["--out", str(place.shop), "--days", f"{first}..{last}", *(f"--set={s}" for s in shop)])
        return demo.day_of(place, last) if code == 0 else sys.exit(code)
    code = run(stream.JOB, stream.main, ["--conf", str(place.conf)])
    return demo.streamed_day(place) if code == 0 else sys.exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; the exit code is the night's, with "the new bundle was refused" counted as done."""
    asked = arguments().parse_args(argv)
    try:
        place = demo.prepare(asked.source, asked.data, asked.out)
        demo.narrate(place)
        day = asked.date or test_day(place, asked.shop)
        code = run(nightly.JOB, nightly.main, ["--conf", str(place.conf), "--date", day.isoformat()])
        if code in {0, RefusedError.exit_code}:
            print(demo.closing(place, day))
    except RecsysError as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_code
    return 0 if code == RefusedError.exit_code else code


if __name__ == "__main__":
    sys.exit(main())
