"""The HTTP server's paths: POST /recommend, GET /health, GET /metrics. A fault is one sentence of JSON, never a trace.

Answers are worked out in the event loop itself: they are CPU time, and a second thread would only wait for the first.
"""

from __future__ import annotations

import json
import logging
import time

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from recsys.days import SECOND
from recsys.errors import RequestError, StoreError
from recsys.serving.answer import Answer
from recsys.serving.ask import from_json
from recsys.serving.metrics import Metrics
from recsys.serving.recommender import Recommender

JSON = "application/json"
LINGER = 16  # so many times the limit of a body are read before the line is cut
log = logging.getLogger(__name__)


class TooLargeError(RequestError):
    """A body beyond the limit (over HTTP 413)."""


STATUS: dict[type[Exception], int] = {TooLargeError: 413, RequestError: 400, StoreError: 503}


def application(recommender: Recommender) -> Starlette:
    """The ASGI application around a recommender, which stays the caller's to close."""
    server = _Server(recommender)
    return Starlette(
        routes=[
            Route("/recommend", server.recommend, methods=["POST"]),
            Route("/health", server.health, methods=["GET"]),
            Route("/metrics", server.metrics, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _said, StoreError: _said, Exception: _broken},
    )


class _Server:
    def __init__(self, recommender: Recommender) -> None:
        self._recommender, self._counted = recommender, Metrics()
        self._most = recommender.settings.serving.max_body_kb * 1024

    async def recommend(self, request: Request) -> Response:
        arrived = time.perf_counter()
        answer: Answer | None = None
        try:
            ask = from_json(await self._body(request))
            answer = self._recommender.answer(ask, arrived)
            response = Response(answer.to_json(), media_type=JSON)
        except (RequestError, StoreError) as error:
            response = fault(STATUS[type(error)], str(error))
        self._counted.count(response.status_code, time.perf_counter() - arrived, answer)
        return response

    async def health(self, request: Request) -> Response:
        """200 as long as it answers at all; `status` says whether as usual."""
        live, serving = self._recommender.live, self._recommender.settings.serving
        age = time.time() - live.bundle.snapshot.at / SECOND
        faults = [self._recommender.reload_fault] if self._recommender.reload_fault else []
        if age > serving.max_age_h * 3600:
            faults.append(f"the item snapshot is older than {serving.max_age_h:g} h")
        told = {
            "status": "degraded" if faults else "ok",
            "faults": faults,
            "bundle": live.bundle.id,
            "version": live.version,
            "snapshot_age": age,
            "store": self._recommender.store is not None,
        }
        return Response(json.dumps(told), media_type=JSON)

    async def metrics(self, request: Request) -> Response:
        return Response(self._counted.text(self._recommender), media_type=CONTENT_TYPE_LATEST)

    async def _body(self, request: Request) -> bytes:
        """The body. TooLargeError: beyond the limit; it is read, not kept, or the client would see a broken line."""
        body, size = bytearray(), 0
        async for part in request.stream():
            size += len(part)
            if size <= self._most:
                body += part
            elif size > LINGER * self._most:
                break
        if size > self._most:
            raise TooLargeError(f"The body is larger than {self._most // 1024} KiB: send the newest behaviours only.")
        return bytes(body)


def fault(status: int, sentence: str) -> Response:
    """An answer that says what is wrong."""
    return Response(json.dumps({"error": sentence}, ensure_ascii=False).encode(), status, media_type=JSON)


async def _said(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return fault(error.status_code, f"{request.method} {request.url.path}: {error.detail}.")
    return fault(STATUS.get(type(error), 500), str(error))


async def _broken(request: Request, error: Exception) -> Response:
    return fault(500, "The server failed; its log has the cause.")  # Starlette raises the error again, into the log
