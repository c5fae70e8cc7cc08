"""Structured logs, one JSON object a line in UTC, and progress that reads well on a terminal and in a log file."""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TextIO

from tqdm import tqdm

from recsys import tables

PERSONAL = frozenset(column.name for table in tables.ALL for column in table.columns if column.person)
Value = str | int | float | bool | None


class JsonLines(logging.Formatter):
    """One record as one JSON object: time (UTC), level, logger, event, then the record's fields.

    The value of a field named like a column that points at a person is withheld, whoever logs it. NaN and infinities
    are null.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        moment = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        line: dict[str, object] = {"time": moment.replace("+00:00", "Z"), "level": record.levelname}
        line |= {"logger": record.name, "event": record.getMessage()}
        fields: dict[str, Value] = getattr(record, "fields", {})
        line |= {key: "[withheld]" if key in PERSONAL else _in_json(value) for key, value in fields.items()}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _in_json(value: Value) -> Value:
    return None if isinstance(value, float) and not math.isfinite(value) else value  # JSON has no word for them


def configure(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send the records of `recsys` and below to `stream` (default: standard error). Called once by each job."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("recsys")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False


def configure_once() -> None:
    """`configure` for a job that may run inside another one, whose log it then shares."""
    if not logging.getLogger("recsys").handlers:
        configure()


def event(logger: logging.Logger, what: str, level: int = logging.INFO, **fields: Value) -> None:
    """Log `what` with its fields: `event(logger, "batch committed", batch=3, rows=5000)`."""
    logger.log(level, what, extra={"fields": fields})


class Progress:
    """Work done so far, in rows. `advance` may be called as often as one likes; it reports at most every `every_s`."""

    def __init__(self, what: str, total: int | None, unit: str, every_s: float, stream: TextIO) -> None:
        self._what, self._total, self._unit, self._every, self._stream = what, total, unit, every_s, stream
        self._start = self._last = time.monotonic()
        self.done = 0
        self._bar = tqdm(total=total, desc=what, unit=unit, unit_scale=True, file=stream) if stream.isatty() else None

    def advance(self, rows: int = 1) -> None:
        """`rows` more are done."""
        self.done += rows
        if self._bar is not None:
            self._bar.update(rows)
        elif time.monotonic() - self._last >= self._every:
            self._last = time.monotonic()
            self._line()

    def close(self) -> None:
        """The last report."""
        if self._bar is not None:
            self._bar.close()
        else:
            self._line()

    def _line(self) -> None:
        seconds = time.monotonic() - self._start
        self._stream.write(progress_line(self._what, self.done, self._total, self._unit, seconds) + "\n")
        self._stream.flush()


def progress_line(what: str, done: int, total: int | None, unit: str, seconds: float) -> str:
    """One plain line: `stream: 500,000 of 1,000,000 events (50%), 25,000 events/s, 20 s left`."""
    rate = done / seconds if seconds > 0 else 0.0
    if not total:
        return f"{what}: {done:,} {unit}, {rate:,.0f} {unit}/s, {seconds:,.0f} s"
    share = f"{what}: {done:,} of {total:,} {unit} ({100 * done / total:.0f}%), {rate:,.0f} {unit}/s"
    if done >= total:
        return f"{share}, {seconds:,.0f} s"
    return f"{share}, {(total - done) / rate:,.0f} s left" if rate > 0 else share


@contextmanager
def progress(
    what: str, total: int | None = None, unit: str = "rows", every_s: float = 10.0, stream: TextIO | None = None
) -> Iterator[Progress]:
    """Follow work of `total` rows (None: unknown): a bar on a terminal, else a line every `every_s` seconds."""
    bar = Progress(what, total, unit, every_s, stream or sys.stderr)
    try:
        yield bar
    finally:
        bar.close()
