"""The champion in a service's own process: loaded from a real registry, exchanged while it answers."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest

from recsys.config import Settings
from recsys.errors import NoDataError, RequestError, StoreError
from recsys.pseudonyms import pseudonym
from recsys.registry.bundle import Bundle
from recsys.registry.request import MAX_RECENT
from recsys.serving.live import KEPT, alias_version, live_of, load_live
from recsys.serving.recommender import Recommender
from recsys.serving.sqlite import SqliteStore
from tests.registry.conftest import SNAPSHOT_AT, MakeBundle, registered
from tests.serving.conftest import CLICK, SERVING, SETTLED, send, serve
from tests.serving.profiles import profile

KEY = "0123456789abcdef" * 2


def promoted(settings: Settings, bundle: Bundle) -> str:
    """Register the bundle and point the alias at it."""
    version, _ = registered(settings, bundle.folder)
    point(settings, version)
    return version


def point(settings: Settings, version: str) -> None:
    mlflow.MlflowClient().set_registered_model_alias(settings.registry.model, settings.registry.alias, version)


@pytest.fixture
def served(store: Settings) -> Settings:
    """A registry without a model, and a server's settings that look at it often."""
    return store.model_copy(update={"serving": SERVING.model_copy(update={"poll_s": 0.05})})


def test_without_a_champion_there_is_nothing_to_serve(served: Settings) -> None:
    with pytest.raises(NoDataError, match="'recsys' has no 'champion' yet"):
        Recommender(served)


def test_the_alias_moves_while_requests_are_answered(
    served: Settings, bundle: Bundle, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    first = promoted(served, bundle)
    other = make_bundle(tmp_path / "other", 2)
    second, packaged = registered(served, other.folder)
    body, found = {"recent": [CLICK], "at": SNAPSHOT_AT}, []
    enough, done = threading.Event(), threading.Event()

    def ask(port: int) -> None:
        while not done.is_set():
            status, text = send(port, "/recommend", body)
            found.append((status, json.loads(text).get("bundle")))
            if found[-1][1] == other.id:
                enough.set()

    with Recommender(served) as recommender:
        assert (recommender.live.version, recommender.live.bundle.id) == (first, bundle.id)
        for port in serve(recommender):
            threads = [threading.Thread(target=ask, args=(port,)) for _ in range(2)]
            for thread in threads:
                thread.start()
            wait(lambda: bool(found))
            point(served, second)
            assert enough.wait(60), recommender.reload_fault
            done.set()
            for thread in threads:
                thread.join()
        assert {status for status, _ in found} == {200}
        assert {name for _, name in found} == {bundle.id, other.id}

        # A version that is not sound is not taken over, and what answers goes on.
        shutil.rmtree(Path(served.artifacts) / KEPT)
        (next(packaged.rglob("ranker.safetensors"))).write_bytes(b"changed")
        point(served, first)
        wait(lambda: recommender.live.version == first)
        point(served, second)
        wait(lambda: "was changed" in recommender.reload_fault)
        assert recommender.recommend([CLICK]).bundle == bundle.id


def wait(until: Callable[[], bool], patience: float = 60) -> None:
    step = threading.Event()
    for _ in range(int(patience / 0.02)):
        if until():
            return
        step.wait(0.02)
    pytest.fail("it did not come about")


def test_a_bundle_is_loaded_by_its_alias_and_verified(served: Settings, bundle: Bundle) -> None:
    version = promoted(served, bundle)
    live, behind = load_live(served)
    assert behind == ""
    assert alias_version(served) == live.version == version
    assert live.bundle.id == bundle.id
    assert live.bundle.folder != bundle.folder


@pytest.fixture
def filled(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recommender]:
    """With user u1 in its store, under a pseudonym."""
    monkeypatch.setenv("RECSYS_PSEUDONYM_KEY", KEY)
    online = SqliteStore(tmp_path / "online.db", create=True)
    behaviours = [CLICK | {"item_id": f"i0{n}", "event_time": SNAPSHOT_AT - (9 - n) * 60_000_000} for n in range(1, 4)]
    whom = pseudonym(KEY.encode(), "u1")
    online.put([profile(whom, 0, 3, *behaviours, as_of=SNAPSHOT_AT)])
    raw = SETTLED.model_copy(update={"serving": SERVING.model_copy(update={"raw_ids": True})})
    with Recommender(raw, online, live_of(bundle, "1", SERVING)) as made:
        yield made


def test_a_user_is_looked_up_by_the_sources_id(filled: Recommender) -> None:
    looked_up = filled.recommend(user_id="u1", at=SNAPSHOT_AT, n=4)
    sent = filled.recommend(
        [CLICK | {"item_id": f"i0{n}", "event_time": SNAPSHOT_AT - (9 - n) * 60_000_000} for n in range(1, 4)],
        at=SNAPSHOT_AT,
        n=4,
    )
    assert looked_up == sent
    assert looked_up.behaviours == 3
    assert filled.recommend(user_id="u2").notes[0].startswith("The user is not in the online store")


def test_a_budget_trims_and_says_so(bundle: Bundle, recommender: Recommender) -> None:
    tight = SERVING.model_copy(update={"budget_ms": 1e-3, "least_candidates": 4})
    own = Recommender(SETTLED.model_copy(update={"serving": tight}), recommender.store, live_of(bundle, "1", tight))
    own.live.pace.each = 1e-3  # so small a bundle may measure as free
    answer = own.recommend([CLICK], at=SNAPSHOT_AT, n=2)
    assert (answer.trimmed, answer.candidates, len(answer.items)) == (True, 4, 2)
    assert answer.notes == ["4 of 10 candidates were ranked, for the latency budget."]
    assert not recommender.recommend([CLICK], at=SNAPSHOT_AT, n=2).trimmed


def test_what_cannot_be_answered(recommender: Recommender, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=f"at most {MAX_RECENT} items"):
        recommender.recommend([CLICK] * 10_000)
    alone = SETTLED.model_copy(update={"artifacts": str(tmp_path)})
    with pytest.raises(StoreError, match="no online store to look user ids up in"):
        Recommender(alone, live=recommender.live).recommend(user_id="u")
    lenient = SERVING.model_copy(update={"refuse_unknown": False})
    own = Recommender(alone.model_copy(update={"serving": lenient}), live=recommender.live)
    assert own.recommend([CLICK | {"item_id": "x"}], at=SNAPSHOT_AT).behaviours == 1
