"""The champion in a stream: vectors for the users that a micro-batch touches, made on executors in that very batch."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import DataFrame

from recsys.config import Settings
from recsys.encoder.spark import embed_users
from recsys.errors import BundleError, RegistryError
from recsys.log import event
from recsys.registry.bundle import ENCODER, Bundle
from recsys.registry.champion import champion
from recsys.tables import USER_EMBEDDINGS, Table

PATIENCE_S = 5.0  # for a question that is on its way when the stream ends
log = logging.getLogger(__name__)


class Following:
    """The champion of the moment. A batch takes it once, so that all its vectors are of one bundle."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.bundle, self._ended = settings, _asked(settings, None), threading.Event()

    def __call__(self, profiles: DataFrame) -> Mapping[Table, DataFrame]:
        """Rows of user_embeddings for rows of user_profiles; nothing as long as there is no champion."""
        now = self.bundle
        return {} if now is None else {USER_EMBEDDINGS: embed_users(profiles, str(Path(now.folder) / ENCODER), now.id)}

    def follow(self) -> None:
        """Ask the registry again and again until `end`: a slow registry never holds up a batch."""
        while not self._ended.wait(self.settings.stream.champion_s):
            self.bundle = _asked(self.settings, self.bundle)

    def end(self) -> None:
        """Let `follow` return."""
        self._ended.set()


@contextmanager
def following(settings: Settings) -> Iterator[Following | None]:
    """What `features.stream.profiles_stream` may derive, kept up to date; None where `stream.embed` is off."""
    if not settings.stream.embed:
        yield None
        return
    found = Following(settings)
    asker = threading.Thread(target=found.follow, name="champion", daemon=True)
    asker.start()
    try:
        yield found
    finally:
        found.end()
        asker.join(PATIENCE_S)


def _asked(settings: Settings, before: Bundle | None) -> Bundle | None:
    """The champion, or the one of before where the registry does not answer or its bundle is not sound."""
    try:
        found = champion(settings)
    except (BundleError, RegistryError) as error:
        kept = None if before is None else before.id
        event(log, "no champion from the registry", logging.WARNING, bundle=kept, reason=str(error).splitlines()[0])
        return before
    if found is not None and (before is None or found.id != before.id):
        event(log, "vectors by the champion", bundle=found.id)
    return found
