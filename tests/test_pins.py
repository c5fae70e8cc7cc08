"""What commits carry, against the plain maximum over all rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from recsys.pins import FURTHEST, Known, Newest, Pin, known_at, merged, told

NAMES = ("events", "profiles", "tiles")
QUERIES = ("stream", "embed")
Info = Mapping[str, object]
pins = st.dictionaries(st.sampled_from(NAMES), st.builds(Pin, st.integers(0, 3), st.integers(0, 9)), max_size=2)
batch = st.dictionaries(st.sampled_from(QUERIES), st.builds(Newest, st.integers(0, 3), st.integers(0, 9)), max_size=1)
own = st.builds(Known, pins, batch)
# What a batch adds, and how old the version is that its writer has read; None: a commit that adds no row.
logs = st.lists(st.none() | st.tuples(own, st.integers(0, 4)), max_size=14)


class Log:
    """The commits of `batches` as Delta would list them; counts what is read."""

    def __init__(self) -> None:
        self.infos: list[Info | None] = [{"operation": "CREATE TABLE"}]
        self.rows = [Known()]
        self.looked = 0

    def info(self, version: int) -> Info | None:
        self.looked += 1
        return self.infos[version]

    def commit(self, own: Known, late: int = 0) -> None:
        base = max(0, len(self.infos) - 1 - late)
        known = known_at(base, self.infos.__getitem__)
        assert known is not None
        note = {"query": "q", "epoch": 0, "batch": 1, **told(known | own, base)}
        self.infos.append({"operation": "WRITE", "userMetadata": json.dumps(note)})
        self.rows.append(own)

    def quiet(self) -> None:
        self.infos.append({"operation": "OPTIMIZE", "userMetadata": "by hand"})
        self.rows.append(Known())


def highest(rows: list[Any]) -> dict[str, Any]:
    return {name: max(row[name] for row in rows if name in row) for row in rows for name in row}


@given(logs)
def test_what_is_known_is_the_newest_of_all_rows_however_commits_interleave(
    steps: list[tuple[Known, int] | None],
) -> None:
    log = Log()
    for step in steps:
        if step is None:
            log.quiet()
        else:
            log.commit(*step)
    for version in range(len(log.infos)):
        rows = log.rows[: version + 1]
        assert known_at(version, log.info) == Known(
            highest([row.pins for row in rows]), highest([row.batches for row in rows])
        )


def test_a_newer_epoch_goes_before_a_newer_version() -> None:
    assert merged({"t": Pin(1, 5)}, {"t": Pin(0, 9), "u": Pin(0, 1)}) == {"t": Pin(1, 5), "u": Pin(0, 1)}


def test_what_is_read_does_not_grow_with_the_table() -> None:
    log = Log()
    for batch in range(1000):
        log.commit(Known({"events": Pin(0, batch)}), late=batch % 3)
    log.looked = 0
    assert known_at(1000, log.info) == Known({"events": Pin(0, 999)})
    assert log.looked == 1 + 999 % 3  # its own, and what landed since its writer had looked


def test_commits_that_do_not_tell_are_no_guess() -> None:
    log = Log()
    assert known_at(-1, log.info) == known_at(0, log.info) == Known()
    log.commit(Known({"events": Pin(0, 1)}))
    log.infos.append({"operation": "WRITE", "userMetadata": json.dumps({"query": "q", "epoch": 0, "batch": 1})})
    assert known_at(2, log.info) is None  # an earlier release wrote it
    log.infos[2] = {"operation": "RESTORE"}
    assert known_at(2, log.info) is None
    log.infos[2] = None  # Delta has removed the file
    assert known_at(2, log.info) is None
    log.infos[2:] = [{"operation": "OPTIMIZE"}] * FURTHEST
    assert known_at(FURTHEST, log.info) == Known({"events": Pin(0, 1)})
    assert known_at(FURTHEST + 1, log.info) is None
