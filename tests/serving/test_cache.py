"""The same behaviours get the same list for a while, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from recsys.registry.bundle import Bundle
from recsys.serving.cache import AnswerCache, Lists
from recsys.serving.live import live_of
from recsys.serving.recommender import Recommender
from tests.features import oracle
from tests.registry.conftest import SNAPSHOT_AT, MakeBundle
from tests.serving.conftest import CLICK, SERVING, SETTLED

KEEPING = SERVING.model_copy(update={"cache_s": 3600.0})
OLDER = CLICK | {"item_id": "i02", "event_time": SNAPSHOT_AT - 120_000_000}


@pytest.fixture
def keeping(bundle: Bundle) -> Iterator[Recommender]:
    with Recommender(SETTLED.model_copy(update={"serving": KEEPING}), live=live_of(bundle, "1", KEEPING)) as made:
        yield made


def test_the_same_request_gets_the_list_again_and_says_so(keeping: Recommender, recommender: Recommender) -> None:
    first, second = (keeping.recommend([CLICK], at=SNAPSHOT_AT, n=3) for _ in range(2))
    assert (first.cached, second.cached) == (False, True)
    assert replace(second, cached=False) == first == recommender.recommend([CLICK], at=SNAPSHOT_AT, n=3)
    assert not recommender.recommend([CLICK], at=SNAPSHOT_AT, n=3).cached  # off


@pytest.mark.parametrize(
    "other",
    [
        {"recent": [OLDER, CLICK]},
        {"recent": [CLICK | {"item_id": "i02"}]},
        {"recent": [CLICK | {"price_minor": 5}]},
        {"recent": [CLICK | {"event_time": SNAPSHOT_AT - 60_000_001}]},
        {"n": 2},
        {"at": SNAPSHOT_AT + 1},
    ],
)
def test_whatever_a_list_depends_on_makes_it_another(keeping: Recommender, other: dict[str, object]) -> None:
    asked: dict[str, object] = {"recent": [CLICK], "at": SNAPSHOT_AT, "n": 3}
    keeping.recommend(**asked)  # type: ignore[arg-type]
    assert not keeping.recommend(**asked | other).cached  # type: ignore[arg-type]


def test_another_bundle_works_it_out_anew(
    keeping: Recommender, make_bundle: MakeBundle, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = keeping.recommend([CLICK], at=SNAPSHOT_AT)
    keeping.live = live_of(make_bundle(tmp_path_factory.mktemp("other") / "b", 2), "2", KEEPING)
    answer = keeping.recommend([CLICK], at=SNAPSHOT_AT)
    assert not answer.cached
    assert answer.bundle != first.bundle


def test_no_more_are_kept_than_the_setting_says() -> None:
    cache, told = AnswerCache(KEEPING.model_copy(update={"cache_answers": 2})), Lists(["i"], [0.5], ["s"], ["r"])
    keys = [cache.key(oracle.histories([]), n) for n in range(3)]
    for key in keys:
        cache.put(key, told)
    assert [cache.get(key) for key in keys] == [None, told, told]
