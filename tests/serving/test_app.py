"""The server over real HTTP, in this process: answers, faults in one sentence, health and metrics."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import pytest

from recsys.errors import RequestError, StoreError
from recsys.registry.bundle import Bundle
from recsys.registry.consumer import Consumer
from recsys.serving import app
from tests.registry.conftest import SNAPSHOT_AT, requests
from tests.serving.conftest import CLICK, Send, send


def test_an_answer_is_the_one_of_every_other_consumer(post: Send, bundle: Bundle) -> None:
    frame = requests("i01", "i02")
    expected = Consumer(bundle).predict(frame.assign(n=[2, 4]))
    for row, (recent, n) in enumerate(zip(frame["recent"], (2, 4), strict=True)):
        status, answer = post({"recent": recent, "at": SNAPSHOT_AT, "n": n})
        assert status == 200
        for name in ("items", "sources", "reasons", "bundle", "snapshot_age"):
            assert answer[name] == expected[name][row], name
        assert answer["scores"] == pytest.approx(expected["scores"][row], abs=1e-6)
        assert (answer["trimmed"], answer["degraded"], answer["notes"]) == (False, False, [])
        assert answer["behaviours"] == len(recent)


def test_a_snapshot_beyond_the_limit_degrades_and_says_so(post: Send) -> None:
    later = SNAPSHOT_AT + 25 * 3600 * 1_000_000
    status, answer = post({"recent": [CLICK], "at": later})
    assert (status, answer["degraded"], answer["snapshot_age"]) == (200, True, 90_000.0)
    assert answer["notes"] == ["The item snapshot is 25.0 h old, the limit is 24 h: nearest items, not ranked."]
    assert answer["sources"] == ["neighbours"] * 3
    assert answer["scores"] == sorted(answer["scores"], reverse=True)
    assert not post({"recent": [CLICK], "at": later - 3_600_000_001})[1]["degraded"]


def test_what_is_not_as_usual_is_said(post: Send) -> None:
    strange = CLICK | {"item_id": "elsewhere"}
    status, answer = post({"recent": [CLICK, strange], "at": SNAPSHOT_AT, "context": {"device": "phone"}})
    assert status == 200
    assert answer["notes"] == [
        "1 of 2 items are not in the bundle's catalogue, such as 'elsewhere'.",
        "This bundle's ranker reads no context: it was left out.",
    ]
    status, answer = post({"user_id": "nobody", "at": SNAPSHOT_AT})
    assert (status, answer["notes"]) == (200, ["The user is not in the online store: answered as a new one."])
    assert answer["items"] == post({"recent": [], "at": SNAPSHOT_AT})[1]["items"]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b'{"recent": [', 400, "The body is no JSON: "),
        (b"", 400, "The body is no JSON: "),
        (b"\xff\xfe", 400, "The body is no JSON: "),
        (b"[]", 400, "The request cannot be used: "),
        (b"null", 400, "The request cannot be used: "),
        ({}, 400, "give either `recent`, a list of behaviours, or `user_id`"),
        ({"recent": [], "user_id": "u"}, 400, "give either"),
        ({"user_id": 5}, 400, "user_id: "),
        ({"user_id": ""}, 400, "user_id: "),
        ({"user_id": "u", "context": {"a": 1}}, 400, "context.a: "),
        ({"recent": "everything"}, 400, "recent: "),
        ({"recent": [5]}, 400, "recent.0: "),
        ({"recent": [{"behaviour": "click"}]}, 400, "recent.0.event_time: Field required."),
        ({"recent": [CLICK | {"item_id": 5}]}, 400, "recent.0.item_id: "),
        ({"recent": [CLICK | {"event_time": "soon"}]}, 400, "recent.0.event_time: "),
        ({"recent": [CLICK | {"behaviour": "clik"}]}, 400, "behaviour 'clik' is unknown. Did you mean 'click'?"),
        ({"recent": [CLICK], "at": SNAPSHOT_AT - 10**9}, 400, "lies after `at`"),
        ({"recent": [CLICK | {"item_id": "elsewhere"}]}, 400, "None of the 1 items is in the catalogue of bundle"),
        ({"recent": [], "n": 0}, 400, "n: "),
        ({"recent": [], "n": 10_000}, 400, "n: "),
        ({"recent": [], "n": "many"}, 400, "n: "),
        ({"recent": [], "items": 3}, 400, "items: Extra inputs"),
        ({"recent": [{"behaviour": "view", "event_time": 1}] * 1000}, 400, "recent.0.event_time: it lies before 1990"),
        ({"recent": [CLICK] * 10_000}, 413, "The body is larger than 64 KiB"),
        (b"x" * 70_000, 413, "The body is larger than 64 KiB"),
    ],
)
def test_a_fault_is_one_sentence(post: Send, body: Any, status: int, says: str) -> None:
    found, answer = post(body)
    assert (found, list(answer)) == (status, ["error"])
    assert says in answer["error"]
    assert "\n" not in answer["error"]
    assert "Traceback" not in answer["error"]


def test_a_body_of_unknown_length_has_the_same_limit(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        line.sendall(b"POST /recommend HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(9):
            line.sendall(b"2000\r\n" + b"[" * 0x2000 + b"\r\n")
        line.sendall(b"0\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/recommend", 405), ("POST", "/health", 405), ("GET", "/", 404), ("GET", "/../etc/passwd", 404)],
)
def test_other_paths_and_methods_are_faults_too(port: int, method: str, path: str, status: int) -> None:
    found, text = send(port, path, method=method)
    assert found == status
    assert list(json.loads(text)) == ["error"]


def test_health_says_what_answers(port: int, bundle: Bundle) -> None:
    status, text = send(port, "/health")
    told = json.loads(text)
    assert (status, told["bundle"], told["version"], told["store"]) == (200, bundle.id, "1", True)
    assert told["status"] == "degraded"  # the sample's snapshot is of 2025
    assert told["faults"] == ["the item snapshot is older than 24 h"]


def test_metrics_count_answers_by_status(port: int, post: Send, bundle: Bundle) -> None:
    def counted(status: str) -> float:
        lines = send(port, "/metrics")[1].decode().splitlines()
        assert f'recsys_bundle{{bundle="{bundle.id}",version="1"}} 1.0' in lines
        wanted = f'recsys_requests_total{{status="{status}"}} '
        return sum(float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted))

    before = counted("200"), counted("400")
    post({"recent": []})
    post({})
    assert (counted("200"), counted("400")) == (before[0] + 1, before[1] + 1)


def test_every_error_that_the_server_says_has_a_status() -> None:
    assert {app.TooLargeError: 413, RequestError: 400, StoreError: 503} == app.STATUS


def test_many_at_once_are_all_answered(post: Send) -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(post({"recent": [CLICK]})[0])) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 24
