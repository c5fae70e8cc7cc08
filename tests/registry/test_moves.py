"""One order of all moves: a number is entered once, and whoever comes next does what an entered move still lacks."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from recsys.config import Settings
from recsys.errors import BundleError, RegistryError
from recsys.registry import alias, kept, moves
from recsys.registry.alias import move, rollback
from recsys.registry.client import champion
from recsys.registry.moves import Move, enter, finish, make, newest, settle
from recsys.registry.retention import prune
from tests.registry.conftest import decided
from tests.registry.test_alias import now, outcomes

BACK = Move(
    number=4, to="2", told={"3": {"rollback.to": "2", moves.OUTCOME: "rolled back"}, "2": {moves.OUTCOME: "promoted"}}
)
pytestmark = pytest.mark.usefixtures("three")


def tags(store: Settings, version: str) -> dict[str, str]:
    found: dict[str, str] = mlflow.MlflowClient().get_model_version(store.registry.model, version).tags
    return found


def test_a_number_is_entered_once_and_the_second_changes_nothing(store: Settings) -> None:
    last, present = settle(store.registry)
    assert (last, present and str(present.version)) == (3, "3")
    assert make(store.registry, BACK)
    assert not make(store.registry, Move(number=4, to="1", told={"1": {moves.OUTCOME: "never"}}))
    assert (now(store), outcomes(store)) == ("2", {"1": "promoted", "2": "promoted", "3": "rolled back"})
    assert not move(store, decided("1", "3"))  # compared with what is no longer the champion


@pytest.mark.parametrize("dies_at", ["tag", "point", "_tell", "_end"])
def test_whoever_comes_next_does_what_a_killed_process_left(
    store: Settings, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    def killed(*_: object) -> None:
        raise KeyError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(moves, dies_at, killed)
        with pytest.raises(KeyError, match="killed"):
            make(store.registry, BACK)
    left = newest(store.registry)
    assert left is not None
    assert (left.number, left.done, left.told) == (4, False, BACK.told)
    last, present = settle(store.registry)
    assert (last, present and str(present.version)) == (4, "2")
    assert outcomes(store) == {"1": "promoted", "2": "promoted", "3": "rolled back"}
    assert tags(store, "3")["rollback.to"] == "2"
    assert newest(store.registry) == Move(**{**vars(left), "done": True})


def test_a_slow_process_does_not_undo_a_later_move(store: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looked, then slept; meanwhile its move was finished for it and two more were made; then it pointed."""
    assert enter(store.registry, BACK)
    answers = [False]
    real = moves._overtaken
    with monkeypatch.context() as patch:
        patch.setattr(moves, "_overtaken", lambda *told: answers.pop() if answers else real(*told))

        def asleep(*told: Any) -> None:
            patch.undo()
            assert settle(store.registry)[0] == 4
            assert make(store.registry, Move(number=5, to="1"))
            assert make(store.registry, Move(number=6, gone=("2",)))
            real_point(*told)

        real_point = moves.point
        patch.setattr(moves, "point", asleep)
        finish(store.registry, BACK)
    assert now(store) == "1"


def test_an_answer_that_was_lost_is_not_taken_for_another_process(
    store: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's client sends a request again whose answer did not come; here the first one had been carried out."""
    real = mlflow.MlflowClient.create_registered_model

    def again(self: Any, *told: Any) -> Any:
        real(self, *told)
        return real(self, *told)

    monkeypatch.setattr(mlflow.MlflowClient, "create_registered_model", again)
    assert make(store.registry, BACK)
    assert now(store) == "2"


def test_any_other_refusal_is_an_error(store: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise MlflowException("no rights")

    monkeypatch.setattr(mlflow.MlflowClient, "create_registered_model", refused)
    with pytest.raises(RegistryError, match="no rights"):
        make(store.registry, BACK)
    assert now(store) == "3"


def test_a_move_to_a_version_that_was_deleted_by_hand_holds_nobody_up(store: Settings) -> None:
    assert enter(store.registry, BACK)
    mlflow.MlflowClient().delete_model_version(store.registry.model, "2")
    last, present = settle(store.registry)
    assert (last, present and str(present.version)) == (4, "3")
    assert move(store, decided("1", "3"))


def test_an_alias_that_was_moved_by_hand_stays_where_it_is(store: Settings) -> None:
    mlflow.MlflowClient().set_registered_model_alias(store.registry.model, store.registry.alias, "1")
    present = settle(store.registry)[1]
    assert str(present and present.version) == "1"


def test_moves_of_a_model_with_a_similar_name_are_no_moves(store: Settings) -> None:
    names = store.registry.model_copy(update={"model": "a_b"})  # in LIKE, `_` is any character
    assert newest(names) is None
    assert enter(names, Move(number=1))
    assert enter(names.model_copy(update={"model": "axb"}), Move(number=9))  # comes before it in the search's order
    found = newest(names)
    assert found is not None
    assert found.number == 1


def test_moves_of_the_last_day_are_kept_and_always_the_last(store: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one.number for one in moves._entered(store.registry)] == [3, 2, 1]
    monkeypatch.setattr(moves, "KEPT_MS", -1)
    assert make(store.registry, BACK)
    assert [one.number for one in moves._entered(store.registry)] == [4]
    assert settle(store.registry)[0] == 4


def test_nobody_goes_back_to_a_version_that_is_being_deleted(
    store: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = kept.fetch_model

    def pruned(*told: Any) -> Path:
        found = real(*told)
        assert prune(store, 1) == ["1"]
        return found

    monkeypatch.setattr(alias, "fetch_model", pruned)
    with pytest.raises(BundleError, match="Version 1 of 'recsys' is not in the registry"):
        rollback(store, tmp_path / "work", to="1")
    assert now(store) == "3"


def together(count: int, work: Callable[[int], bool]) -> list[int]:
    """Exit codes of so many forks that do the work at once: 0 true, 1 false, 2 an error."""
    begin, ready = os.pipe()
    pids = []
    for place in range(count):
        pid = os.fork()
        if not pid:
            code = 2
            try:
                os.close(ready)
                os.read(begin, 1)  # ends when the parent closes it
                code = int(not work(place))
            finally:
                sys.stderr.flush()
                os._exit(code)
        pids.append(pid)
    os.close(begin)
    os.close(ready)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def test_of_many_processes_one_enters_a_number(store: Settings) -> None:
    versions = ("1", "2", "1", "2")
    codes = together(4, lambda place: make(store.registry, Move(number=4, to=versions[place])))
    assert sorted(codes) == [0, 1, 1, 1]
    assert now(store) == versions[codes.index(0)]
    assert champion(store.registry) is not None


def finished(store: Settings, entered: Move, _: int) -> bool:
    finish(store.registry, entered)
    return True


def test_of_many_processes_that_finish_a_move_none_is_in_the_way(store: Settings) -> None:
    """They write the same tags at once, none of which is there yet."""
    for number in range(4, 8):
        told = {"1": {f"key{place}.{number}": "x" for place in range(5)}}
        entered = Move(number=number, to="1", told=told)
        assert enter(store.registry, entered)
        assert together(4, partial(finished, store, entered)) == [0, 0, 0, 0]
        assert settle(store.registry)[0] == number


def test_every_predecessor_is_true_whoever_moves(store: Settings) -> None:
    """Four processes that share no folder: each promotes what it is given as often as it takes."""

    def work(place: int) -> bool:
        version = ("1", "2", "3", "1")[place]
        for _ in range(20):
            present = settle(store.registry)[1]
            previous = None if present is None else str(present.version)
            if move(store, decided(version, previous)):
                return True
        return False

    assert together(4, work) == [0, 0, 0, 0]
    done = sorted(moves._entered(store.registry), key=lambda one: one.number)
    assert [one.number for one in done] == list(range(1, 8))
    for before, after in itertools.pairwise(done):
        assert after.told[after.to]["decision.previous"] == before.to
    assert now(store) == done[-1].to
