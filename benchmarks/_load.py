"""Requests at set moments, whatever the server does (open loop), or one after the other (closed loop)."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from recsys.errors import RecsysError

CONNECTIONS = 32  # requests in flight at most
IDLE_S = 2.0
HEADERS = {"Content-Type": "application/json"}

Moments = np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass(frozen=True)
class Request:
    """Where it goes and what it says."""

    port: int
    path: str
    body: bytes


@dataclass(frozen=True)
class Answers:
    """Of all requests, in their order: seconds from the moment that each was due until it was answered."""

    seconds: Moments
    wall: float

    def ms(self, percent: float, every: int = 1, first: int = 0) -> float:
        """A percentile in milliseconds, of each `every`-th request from the `first` on."""
        return float(np.percentile(self.seconds[first::every], percent) * 1e3)


def open_loop(requests: Sequence[Request], rate: float, seed: int) -> Answers:
    """Send requests as a Poisson process of `rate` a second. RecsysError: one was not answered with 200."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, len(requests))
    return _send(requests, np.cumsum(gaps), min(CONNECTIONS, len(requests)))


def closed_loop(requests: Sequence[Request], connections: int) -> Answers:
    """Send each request as soon as one of the connections is free. RecsysError: as `open_loop`."""
    return _send(requests, None, connections)


def _send(requests: Sequence[Request], due: Moments | None, connections: int) -> Answers:
    seconds, faults = np.full(len(requests), np.nan), list[str]()
    numbers, lock, began = count(), threading.Lock(), time.perf_counter()

    def work() -> None:
        lines: dict[int, _Line] = {}
        while not faults:
            with lock:
                number = next(numbers)
            if number >= len(requests):
                break
            asked = requests[number]
            start = time.perf_counter() if due is None else began + float(due[number])
            time.sleep(max(start - time.perf_counter(), 0))
            status, said = lines.setdefault(asked.port, _Line(asked.port)).send(asked)
            seconds[number] = time.perf_counter() - start
            if status != 200:
                faults.append(f"request {number} was answered with {status}: {said[:300].decode()}")
        for line in lines.values():
            line.close()

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults or np.isnan(seconds).any():
        raise RecsysError(faults[0] if faults else "a connection was cut off")
    return Answers(seconds, time.perf_counter() - began)


class _Line:
    """A connection that is kept while it is busy; servers close idle ones, so such are made anew."""

    def __init__(self, port: int) -> None:
        self._line, self._used = http.client.HTTPConnection("127.0.0.1", port, timeout=60), 0.0

    def close(self) -> None:
        """Close it."""
        self._line.close()

    def send(self, asked: Request) -> tuple[int, bytes]:
        """Status and body of the answer."""
        if time.perf_counter() - self._used > IDLE_S:
            self._line.close()  # it is opened again by itself
        self._line.request("POST", asked.path, asked.body, HEADERS)
        answer = self._line.getresponse()
        said = answer.read()
        self._used = time.perf_counter()
        return answer.status, said
