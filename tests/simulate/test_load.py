import gzip
import json
from pathlib import Path

import pytest

from recsys.errors import ConfigError
from recsys.simulate import rows as r
from recsys.simulate.days import arriving
from recsys.simulate.load import check_rate, emit
from recsys.simulate.shop import Shop
from recsys.simulate.write import Counts
from tests.simulate.logs import defect_of, moment, read_lines

BEGIN = 1_760_000_000.0


class Clock:
    """A clock that moves when it is slept on, when it is moved, and by 0.1 ms at each look."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.slept: list[float] = []

    def __call__(self) -> float:
        self.now += 1e-4
        return self.now

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 1
        self.slept.append(seconds)
        self.now += seconds


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan")])
def test_a_rate_that_emits_nothing_is_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match="is no pace: give events a second, above 0"):
        check_rate(rate)


@pytest.mark.parametrize("rate", [None, 0.001, 1e6])
def test_a_pace_is_a_pace(rate: float | None) -> None:
    check_rate(rate)


def run(shop: Shop, folder: Path, rate: float, pause: float) -> list[tuple[float, Counts]]:
    """(moment, counts) of each file, by a reader or disk that takes `pause` seconds a file."""
    clock, found = Clock(), []
    for counts in emit(shop, folder, 1, 2, rate, clock, clock.sleep):
        found.append((clock.now - BEGIN, counts))
        clock.now += pause
    return found


@pytest.mark.parametrize(("rate", "pause"), [(100.0, 0.0), (100.0, 3.7), (2000.0, 0.9)])
def test_the_rate_is_kept_whatever_the_pace_of_the_disk(shop: Shop, tmp_path: Path, rate: float, pause: float) -> None:
    days = [len(rows) for _, rows in arriving(shop, 1, 2)]
    ends, sent = (days[0], sum(days)), 0
    files = run(shop, tmp_path, rate, pause)
    for at, counts in files:
        assert at <= sent / rate + 1.002 + 2 * pause  # a file a second; two may follow each other at the end of a day
        sent += counts.lines
        due = rate * (at - 1e-4)  # the clock moved once before the start
        assert sent <= due + 1e-3
        assert sent > due - 1 or sent in ends  # a file holds all that is due; the end of a day closes it
    assert sent == sum(days)
    assert files[-1][0] == pytest.approx(sent / rate, abs=1.1 + pause)


def test_nothing_is_lost_and_each_file_has_its_counts(shop: Shop, tmp_path: Path) -> None:
    files = run(shop, tmp_path, 500.0, 0.0)
    events = sorted((tmp_path / "events").iterdir())
    assert len(events) == len(files)
    for file, (_, counts) in zip(events, files, strict=True):
        told = json.loads((tmp_path / "truth" / "load" / f"{file.name.removesuffix('.json.gz')}.json").read_text())
        lines = gzip.decompress(file.read_bytes()).splitlines()
        assert told["lines"] == counts.lines == len(lines)
        assert told["lines"] == told["accepted"] + told["duplicate"] + sum(told["rejected"].values())


def test_each_line_is_dated_when_it_is_due(shop: Shop, tmp_path: Path) -> None:
    rate = 500.0
    run(shop, tmp_path, rate, 0.0)
    for number, (_, line) in enumerate(read_lines(tmp_path), start=1):
        defect = defect_of(line)
        if defect == "bad_json":
            continue
        event = json.loads(line)
        due = BEGIN + 1e-4 + number / rate
        assert due - 0.001 - 1e-6 <= moment(event["sent_at"]).timestamp() <= due + 1e-6
        assert defect in ("bad_time", "future_time", "ancient_time") or event["ts"] == event["sent_at"]


def test_order_defects_and_resends_are_those_of_the_days(shop: Shop, tmp_path: Path) -> None:
    run(shop, tmp_path, 1000.0, 0.0)
    lines = [line for _, line in read_lines(tmp_path)]
    rows = r.join([rows for _, rows in arriving(shop, 1, 2)])
    first = {number: row for row, number in reversed(list(enumerate(rows.id.tolist())))}
    ids: list[str | None] = []
    for row, line in enumerate(lines):
        code = int(rows.defect[row])
        assert defect_of(line) == (None if code < 0 else r.DEFECTS[code])
        ids.append(None if code == r.DEFECTS.index("bad_json") else json.loads(line)["id"])
        assert code != r.DUPLICATE or ids[row] == ids[first[int(rows.id[row])]]
    known = [number for number in ids if number]
    assert len(known) - len(set(known)) == (rows.defect == r.DUPLICATE).sum()


def test_two_runs_share_no_id(shop: Shop, tmp_path: Path) -> None:
    for folder, start in (("one", 0.0), ("two", 60.0)):
        clock = Clock()
        clock.now += start
        list(emit(shop, tmp_path / folder, 1, 1, 1e5, clock, clock.sleep))
    ids = [
        {json.loads(line)["id"] for _, line in read_lines(tmp_path / folder) if defect_of(line) != "bad_json"}
        for folder in ("one", "two")
    ]
    assert len(ids[0]) == len(ids[1]) > 1000
    assert not ids[0] & ids[1]
