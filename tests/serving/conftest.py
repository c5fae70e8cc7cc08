"""A small bundle behind a recommender and a server of this process, and requests for it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from recsys.config import ServingSettings
from recsys.registry.bundle import Bundle
from recsys.serving.live import live_of
from recsys.serving.recommender import Recommender
from recsys.serving.server import server_of
from recsys.serving.sqlite import SqliteStore
from tests.registry.conftest import SETTINGS, SNAPSHOT_AT, MakeBundle, empty_store, make_bundle, store

__all__ = ["empty_store", "make_bundle", "store"]

SERVING = ServingSettings(port=0, raw_ids=False, max_body_kb=64, max_age_h=24)
SETTLED = SETTINGS.model_copy(update={"serving": SERVING})
CLICK = {"behaviour": "click", "item_id": "i01", "event_time": SNAPSHOT_AT - 60_000_000}
Send = Callable[..., tuple[int, Any]]


def serve(recommender: Recommender) -> Iterator[int]:
    """The port of a server in a thread of this process, stopped afterwards."""
    server = server_of(recommender, recommender.settings.serving)
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.005)
    try:
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(30)


def send(port: int, path: str, body: bytes | dict[str, Any] | None = None, method: str = "") -> tuple[int, bytes]:
    """One request on a connection of its own."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        line.request(method or ("GET" if data is None else "POST"), path, data)
        answer = line.getresponse()
        return answer.status, answer.read()
    finally:
        line.close()


@pytest.fixture(scope="session")
def bundle(make_bundle: MakeBundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "b", 1)


@pytest.fixture(scope="session")
def recommender(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    """Of the bundle alone, with an online store that is empty."""
    online = SqliteStore(tmp_path_factory.mktemp("online") / "online.db", create=True)
    with Recommender(SETTLED, online, live_of(bundle, "1", SERVING)) as made:
        yield made


@pytest.fixture(scope="session")
def port(recommender: Recommender) -> Iterator[int]:
    yield from serve(recommender)


@pytest.fixture(scope="session")
def post(port: int) -> Send:
    """Sends a body to /recommend; gives status and parsed answer."""

    def call(body: bytes | dict[str, Any], path: str = "/recommend") -> tuple[int, Any]:
        status, text = send(port, path, body)
        return status, json.loads(text)

    return call
