"""`python -m recsys.serving`: the HTTP server as a process."""

from __future__ import annotations

import argparse
import gc
import logging
import signal
from collections.abc import Sequence

import torch
import uvicorn

from recsys import config, log
from recsys.config import ServingSettings
from recsys.errors import RecsysError
from recsys.serving.app import application
from recsys.serving.recommender import Recommender

logger = logging.getLogger(__name__)
IDLE_S = 75  # a connection without a request is closed after this; longer than balancers keep theirs
LEAVE_S = 30  # requests that are being answered when the server is told to stop have so long


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the requests that are there are answered first. Returns the exit code.

    0 stopped, 1 failed, 2 settings or command line, 3 no champion.
    """
    asked = _parser().parse_args(argv)
    log.configure_once()
    try:
        settings = config.load(asked.conf, asked.set)
        chosen = {name: value for name in ("host", "port") if (value := getattr(asked, name)) is not None}
        settings = settings.model_copy(update={"serving": settings.serving.model_copy(update=chosen)})
        torch.set_num_threads(1)  # one answer at a time: more cores are more processes
        with Recommender(settings) as recommender:
            gc.freeze()  # a full collection looks through all modules and the catalogue: a fifth of a second
            _serve(recommender, settings.serving)
    except RecsysError as error:
        log.event(logger, str(error), logging.ERROR, exit_code=error.exit_code)
        return error.exit_code
    return 0


def server_of(recommender: Recommender, settings: ServingSettings) -> uvicorn.Server:
    """The server, not yet started."""
    return uvicorn.Server(
        uvicorn.Config(
            application(recommender),
            host=settings.host,
            port=settings.port,
            limit_concurrency=settings.connections,
            timeout_graceful_shutdown=LEAVE_S,
            timeout_keep_alive=IDLE_S,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
        )
    )


def _serve(recommender: Recommender, settings: ServingSettings) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises the signal again once it has stopped
        signal.signal(number, lambda *_: None)
    live = recommender.live
    log.event(logger, "serving", url=f"http://{settings.host}:{settings.port}", bundle=live.bundle.id)
    server_of(recommender, settings).run()
    log.event(logger, "stopped")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="recsys.serving", description=main.__doc__)
    parser.add_argument("--conf", action="append", default=[], metavar="FILE", help="a YAML file over the defaults")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting")
    parser.add_argument("--host", help="address to listen at (default: serving.host, this machine alone)")
    parser.add_argument("--port", type=int, help="port to listen at (default: serving.port)")
    return parser
