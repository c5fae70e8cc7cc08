from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from recsys import log


@pytest.fixture
def lines() -> io.StringIO:
    stream = io.StringIO()
    log.configure(stream=stream)
    return stream


def test_one_json_line_a_record(lines: io.StringIO) -> None:
    log.event(logging.getLogger("recsys.events"), "batch committed", batch=3, rows=5000)
    record = json.loads(lines.getvalue())
    assert record["time"].endswith("Z")
    del record["time"]
    assert record == {"level": "INFO", "logger": "recsys.events", "event": "batch committed", "batch": 3, "rows": 5000}


def test_ids_of_persons_are_withheld(lines: io.StringIO) -> None:
    log.event(logging.getLogger("recsys"), "seen", user_id="anna", session_id="s1", item_id="i1")
    assert "anna" not in lines.getvalue()
    assert json.loads(lines.getvalue()) | {"time": ""} == {
        "time": "",
        "level": "INFO",
        "logger": "recsys",
        "event": "seen",
        "user_id": "[withheld]",
        "session_id": "[withheld]",
        "item_id": "i1",
    }


def test_a_line_is_json_whatever_the_numbers_are(lines: io.StringIO) -> None:
    log.event(logging.getLogger("recsys"), "epoch", loss=float("nan"), gain=float("-inf"), auc=0.5)
    record = json.loads(lines.getvalue(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert (record["loss"], record["gain"], record["auc"]) == (None, None, 0.5)


def test_trace_stays_in_the_line(lines: io.StringIO) -> None:
    try:
        raise ValueError("bad")
    except ValueError:
        logging.getLogger("recsys").error("failed", exc_info=sys.exc_info())
    assert lines.getvalue().count("\n") == 1
    assert "ValueError: bad" in json.loads(lines.getvalue())["trace"]


def test_configure_twice_logs_once(lines: io.StringIO) -> None:
    log.configure(stream=lines)
    logging.getLogger("recsys.x").info("once")
    logging.getLogger("recsys.x").debug("never")
    assert lines.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("done", "total", "seconds", "line"),
    [
        (500, 1000, 10.0, "s: 500 of 1,000 rows (50%), 50 rows/s, 10 s left"),
        (1000, 1000, 20.0, "s: 1,000 of 1,000 rows (100%), 50 rows/s, 20 s"),
        (0, 1000, 0.0, "s: 0 of 1,000 rows (0%), 0 rows/s"),
        (1500, None, 3.0, "s: 1,500 rows, 500 rows/s, 3 s"),
    ],
)
def test_progress_line(done: int, total: int | None, seconds: float, line: str) -> None:
    assert log.progress_line("s", done, total, "rows", seconds) == line


def test_progress_in_a_log_has_a_last_line_even_after_an_error() -> None:
    stream = io.StringIO()
    with pytest.raises(ValueError), log.progress("s", 10, every_s=60, stream=stream) as bar:  # noqa: PT012
        bar.advance(4)
        raise ValueError("stop")
    assert stream.getvalue().startswith("s: 4 of 10 rows (40%)")
    assert "\r" not in stream.getvalue()


def test_progress_reports_at_most_every_so_often() -> None:
    stream = io.StringIO()
    with log.progress("s", 100, every_s=0.0, stream=stream) as bar:
        bar.advance(50)
        bar.advance(50)
    assert len(stream.getvalue().splitlines()) == 3


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_is_a_bar() -> None:
    stream = Terminal()
    with log.progress("stream", 100, stream=stream) as bar:
        bar.advance(100)
    assert "100%" in stream.getvalue()
    assert "\r" in stream.getvalue()
