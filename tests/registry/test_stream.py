"""Which champion a stream embeds with, as the registry changes or does not answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from recsys.config import Settings
from recsys.errors import BundleError, RegistryError
from recsys.registry import stream
from recsys.registry.stream import Following, following
from recsys.tables import USER_EMBEDDINGS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

PROFILES = cast("DataFrame", object())


def bundle(name: str) -> Any:
    return SimpleNamespace(id=name, folder=Path("/bundles") / name)


def answering(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> list[Any]:
    """The registry gives these answers in turn, the last one from then on; an exception is raised. What is left."""
    left = list(answers)

    def champion(_: Settings) -> Any:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(stream, "champion", champion)
    monkeypatch.setattr(stream, "embed_users", lambda rows, path, name: (rows, path, name))
    return left


def often(settings: Settings, **more: object) -> Settings:
    return settings.model_copy(update={"stream": settings.stream.model_copy(update={"champion_s": 0.01, **more})})


def until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_a_batch_gets_vectors_of_the_champion_and_none_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, None)
    assert Following(Settings())(PROFILES) == {}
    answering(monkeypatch, bundle("a"))
    made: Any = Following(Settings())(PROFILES)
    assert made == {USER_EMBEDDINGS: (PROFILES, "/bundles/a/encoder", "a")}


@pytest.mark.parametrize("error", [RegistryError("no answer"), BundleError("harmed")])
def test_the_one_of_before_stays_until_a_sound_one_follows(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    left = answering(monkeypatch, bundle("a"), error)
    with following(often(Settings())) as found:
        assert found is not None
        assert found.bundle is not None
        until(lambda: left == [error])
        assert found.bundle.id == "a"
        left[:] = [error, bundle("b")]
        until(lambda: found.bundle is not None and found.bundle.id == "b")


def test_a_registry_that_never_answers_leaves_the_stream_without_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, RegistryError("no answer"))
    with following(often(Settings())) as found:
        assert found is not None
        assert found(PROFILES) == {}


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, AssertionError("asked"))
    with following(often(Settings(), embed=False)) as found:
        assert found is None
