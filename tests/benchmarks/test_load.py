"""The load generator: a slow answer is charged to every request that had to wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks import _load
from benchmarks._load import Request, closed_loop, open_loop
from recsys.errors import RecsysError

SLOW_S = 0.3


class Handler(BaseHTTPRequestHandler):
    """Answers `slow` after SLOW_S, `wrong` with 500, anything else at once."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(SLOW_S if body == b"slow" else 0)
        self.send_response(500 if body == b"wrong" else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield int(server.server_address[1])
    server.shutdown()
    thread.join()
    server.server_close()


def asked(port: int, *bodies: bytes) -> list[Request]:
    return [Request(port, "/", body) for body in bodies]


def test_waiting_counts_in_an_open_loop_and_not_in_a_closed_one(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_load, "CONNECTIONS", 1)
    requests = asked(port, b"slow", b"a", b"b")
    opened = open_loop(requests, 1000, seed=1)
    assert min(opened.seconds) > 0.8 * SLOW_S
    closed = closed_loop(requests, 1)
    assert closed.seconds[0] >= SLOW_S
    assert closed.seconds[1:].sum() <= closed.wall - closed.seconds[0]
    assert closed.ms(0, every=2, first=1) == pytest.approx(closed.seconds[1] * 1e3)


def test_an_answer_that_is_none_fails_the_run(port: int) -> None:
    with pytest.raises(RecsysError, match="request 1 was answered with 500: ok"):
        closed_loop(asked(port, b"a", b"wrong", b"c"), 1)
