"""Both online stores keep the same promises: a SQLite file, and a real Redis server where the machine has one."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.config import ServingSettings, Settings
from recsys.errors import ConfigError, StoreError
from recsys.serving.redis import PREFIX, RedisStore
from recsys.serving.sqlite import SqliteStore
from recsys.serving.store import OnlineStore, Profile, StoreState, advanced, unpack
from recsys.serving.stores import FILE, is_there, open_store
from tests.registry.conftest import SNAPSHOT_AT
from tests.serving.profiles import profile

NAMES = ("view", "click")
VIEW = {"behaviour": "view", "item_id": "a", "event_time": SNAPSHOT_AT - 9, "price_minor": 12, "quantity": 2}
CLICK = {"behaviour": "click", "item_id": "b", "event_time": SNAPSHOT_AT - 5, "value": 0.5}
SEARCH = {"behaviour": "search", "event_time": SNAPSHOT_AT - 3}


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("this machine has no redis-server (Debian: apt-get install redis-server)")
    folder = tmp_path_factory.mktemp("redis")
    command = [program, "--port", "0", "--unixsocket", str(folder / "s"), "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not (folder / "s").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        yield f"unix://{folder}/s"
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(params=["sqlite", "redis"])
def online(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OnlineStore]:
    """An empty store."""
    where = str(tmp_path / "o.db") if request.param == "sqlite" else request.getfixturevalue("redis_url")
    made = open_store(Settings(serving=ServingSettings(store=where)), create=True)
    if isinstance(made, RedisStore):
        made._client.flushall()
    yield made
    made.close()


def test_behaviours_come_back_as_they_were() -> None:
    packed = profile("u", 0, 0, VIEW, CLICK, SEARCH).recent
    h = unpack(packed, NAMES, 10)
    assert h.offsets.tolist() == [0, 3]
    assert h.time.tolist() == [SNAPSHOT_AT - 9, SNAPSHOT_AT - 5, SNAPSHOT_AT - 3]
    assert h.behaviour.tolist() == [0, 1, -1]  # a type that the bundle does not know
    assert [None if row < 0 else h.items[row] for row in h.item] == ["a", "b", None]
    assert (h.price.tolist(), h.quantity.tolist()) == ([12, -1, -1], [2, 1, 1])
    np.testing.assert_array_equal(h.value, [np.nan, 0.5, np.nan])
    assert unpack(packed, NAMES, 2).time.tolist() == [SNAPSHOT_AT - 5, SNAPSHOT_AT - 3]
    assert unpack(profile("u", 0, 0).recent, NAMES, 2).users == 1


@given(st.binary(max_size=60))
def test_bytes_of_another_kind_are_refused_in_words(packed: bytes) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        unpack(packed, NAMES, 5)


def test_what_is_put_is_found(online: OnlineStore) -> None:
    assert (online.state(), online.get("u")) == (None, None)
    put = [profile("u", 0, 1, VIEW, as_of=5), profile("v", 0, 1, as_of=9)]
    before = time.time_ns() // 1000
    assert online.put(iter(put)) == 2
    assert [online.get("u"), online.get("v"), online.get("w")] == [*put, None]
    state = online.state()
    assert state is not None
    assert (state.epoch, state.batch, state.as_of) == (0, 1, 9)
    assert before <= state.put_at <= time.time_ns() // 1000


def test_the_newest_version_wins_in_any_order(online: OnlineStore) -> None:
    old, new = profile("u", 1, 2, VIEW, as_of=5), profile("u", 1, 10, CLICK, as_of=7)
    assert online.put([new]) == 1
    assert online.put([old, new, profile("u", 0, 99, as_of=9)]) == 0
    assert online.get("u") == new
    rebuilt = profile("u", 2, 0, VIEW, as_of=3)  # a new epoch wins, whatever its batch and time
    assert online.put([rebuilt]) == 1
    assert online.get("u") == rebuilt
    state = online.state()
    assert state is not None
    assert (state.epoch, state.batch, state.as_of) == (2, 0, 9)


PUTS = st.lists(
    st.lists(st.tuples(st.sampled_from("uv"), st.integers(0, 2), st.integers(0, 12)), max_size=4), max_size=4
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PUTS)
def test_any_puts_end_at_the_newest_of_each_user(online: OnlineStore, puts: list[list[tuple[str, int, int]]]) -> None:
    highest = 0 if (state := online.state()) is None else state.epoch + 1
    newest: dict[str, tuple[int, int]] = {}
    for put in puts:
        online.put([profile(user, highest + epoch, batch, as_of=batch) for user, epoch, batch in put])
        for user, epoch, batch in put:
            newest[user] = max(newest.get(user, (-1, -1)), (highest + epoch, batch))
    for user, version in newest.items():
        found = online.get(user)
        assert found is not None
        assert (found.epoch, found.batch) == version


def test_a_put_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    online = SqliteStore(tmp_path / "o.db", create=True)

    def cut_off() -> Iterator[Profile]:
        yield profile("u", 0, 1, VIEW)
        raise KeyError("the stream has failed")

    with pytest.raises(KeyError):
        online.put(cut_off())
    assert (online.get("u"), online.state()) == (None, None)
    assert online.put([profile("u", 0, 1, VIEW)]) == 1
    online.close()


def test_another_process_reads_while_one_writes(tmp_path: Path) -> None:
    writer = SqliteStore(tmp_path / "o.db", create=True)
    reader = SqliteStore(tmp_path / "o.db")
    first, second = profile("u", 0, 1, VIEW), profile("u", 0, 2, CLICK)
    writer.put([first])

    def half_way() -> Iterator[Profile]:
        yield second
        assert reader.get("u") == first

    writer.put(half_way())
    assert reader.get("u") == second
    reader.close()
    writer.close()


def test_faults_of_a_store_are_said(tmp_path: Path, redis_url: str) -> None:
    with pytest.raises(StoreError, match=r"no online store at .*run jobs/online\.py"):
        SqliteStore(tmp_path / "absent.db")
    (tmp_path / "text.db").write_text("no database at all, just some text that is long enough to be looked at" * 20)
    with pytest.raises(StoreError, match="does not answer: file is not a database"):
        SqliteStore(tmp_path / "text.db")
    sqlite3.connect(tmp_path / "other.db").executescript("PRAGMA user_version=7; CREATE TABLE t (a)").connection.close()
    with pytest.raises(StoreError, match="has format 7, this version reads 1"):
        SqliteStore(tmp_path / "other.db")
    with pytest.raises(StoreError, match="does not answer"):
        RedisStore(f"unix://{tmp_path}/nobody")
    online = RedisStore(redis_url, 60)
    online._client.set(PREFIX + "odd", b"something else")
    with pytest.raises(StoreError, match="was not written by this package"):
        online.get("odd")
    online.close()


def test_settings_name_the_store(tmp_path: Path) -> None:
    default = Settings(artifacts=str(tmp_path))
    assert not is_there(default)
    open_store(default, create=True).close()
    assert is_there(default)
    assert (tmp_path / FILE).is_file()
    for url in ("memcached://x", "redis://x:notaport"):
        with pytest.raises(ConfigError, match=r"serving\.store"):
            open_store(Settings(serving=ServingSettings(store=url)))


def test_the_state_only_moves_on() -> None:
    first = advanced(None, profile("u", 1, 5, as_of=7))
    assert first == StoreState(epoch=1, batch=5, as_of=7, put_at=0)
    assert advanced(first, profile("v", 0, 9, as_of=8)) == StoreState(epoch=1, batch=5, as_of=8, put_at=0)
