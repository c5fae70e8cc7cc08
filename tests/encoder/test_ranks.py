"""Two processes learn what one learns: the same curve and weights, but for the order of floating-point sums."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.encoder.order import Begin, Order, as_rank, carry_out, placed, raise_fault, told
from recsys.encoder.progress import EpochLog
from recsys.encoder.ranks import ALONE, Ranks
from recsys.encoder.trained import TrainedEncoder
from recsys.errors import NoDataError, TrainingError
from tests.encoder.ordered import order_of, written
from tests.encoder.samples import views
from tests.encoder.test_train import SMALL, chains, joined, state

ROOT = Path(__file__).resolve().parents[2]
WORLD = 2
CHILD = """
import os, sys
from pathlib import Path
from recsys.encoder.order import as_rank
for port, folder in zip(sys.argv[1::2], sys.argv[2::2]):
    os.environ["MASTER_PORT"] = port
    as_rank(Path(folder))
"""
DIFFER = """
import torch
from recsys.encoder.ranks import joined
with joined(torch.device("cpu")) as ranks:
    ranks.agree("nothing", "same")
    ranks.agree("versions", str(ranks.rank))
"""
LONG, SHORT = {"epochs": 10, "patience": 10}, {"epochs": 3}
CASES: Mapping[str, Mapping[str, object]] = {
    "plain": SHORT,
    "quality": SHORT | {"prefixes": True, "smoothing": 0.1, "masking": 0.1, "averaging": 0.95, "gates": False},
    "tiny": {"epochs": 1, "batch": 1},  # fewer windows in a batch than processes
    "deep": SHORT | {"blocks": 2, "dropout": 0.5, "negatives": 1000, "type_weight": 0.3},
    "increment": {"increment_epochs": 3},
}


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def started(*folders: Path) -> list[subprocess.Popen[str]]:
    """The processes of torchrun, without torchrun: each carries out the orders in `folders`, one after the other."""
    return processes(CHILD, *(word for folder in folders for word in (free_port(), str(folder))))


def processes(code: str, *words: str) -> list[subprocess.Popen[str]]:
    """Python code as torchrun would start it, with a port of its own for its first meeting."""
    env = os.environ | {"WORLD_SIZE": str(WORLD), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    return [
        subprocess.Popen(
            [sys.executable, "-c", code, *words],
            cwd=ROOT,
            env=env | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(WORLD)
    ]


def ended(children: list[subprocess.Popen[str]], patience_s: float = 200) -> list[str]:
    """What each has printed by its end; all have ended afterwards."""
    try:
        return [child.communicate(timeout=patience_s)[0] for child in children]
    finally:
        for child in children:
            child.kill()
            child.communicate()


@dataclass(frozen=True)
class Ran:
    """What was trained by two processes, and the same orders for one."""

    folder: Path
    orders: Mapping[str, Order]
    logs: Mapping[str, list[EpochLog]]
    start: TrainedEncoder
    killed: list[int | None]  # return codes of processes one of which was killed
    survivor: str  # what the other one said
    said: str  # what the first process said that went on

    def alone(self, name: str) -> tuple[TrainedEncoder, list[EpochLog]]:
        order = self.orders[name].model_copy(
            update={"folder": self.folder / "alone" / name, "checkpoint": self.folder / f"alone-{name}"}
        )
        start = self.start if name == "increment" else None
        logs = carry_out(order, Begin(start=start), lambda _: None)
        return TrainedEncoder.load(order.folder), logs


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("ranks")
    torch.set_num_threads(1)
    plain = written(chains(120), folder / "sequences")
    newer = written(joined(chains(60), chains(60, seed=3, step=7, first=1000)), folder / "newer")
    nothing = written(views("aaa", "b"), folder / "nothing")
    data = {"increment": newer, "nothing": nothing, "tiny": written(chains(15), folder / "few")}
    changes = {**CASES, "long": LONG, "killed": LONG, "nothing": SHORT}
    orders = {
        name: order_of(folder, name, data.get(name, plain), SMALL.model_copy(update=change))
        for name, change in changes.items()
    }
    begin = order_of(folder, "start", plain, SMALL.model_copy(update=SHORT))
    carry_out(begin, Begin(), lambda _: None)
    start = TrainedEncoder.load(begin.folder)
    with ExitStack() as stack:
        for name, order in orders.items():
            stack.enter_context(
                placed(order, Begin(start=start if name == "increment" else None), folder / f"{name}.d")
            )
        first = started(folder / "killed.d")
        while len(told(folder / "killed.d")) < 2:
            assert first[0].poll() is None, ended(first)
            time.sleep(0.01)
        first[1].send_signal(signal.SIGKILL)
        survivor, _ = ended(first)
        second = started(*(folder / f"{name}.d" for name in orders))
        said = ended(second)
        assert [child.returncode for child in second] == [0] * WORLD, "\n".join(said)
        logs = {name: told(folder / f"{name}.d") for name in orders}
        with pytest.raises(NoDataError, match="None of 2 histories holds two different items"):
            raise_fault(folder / "nothing.d")
        raise_fault(folder / "plain.d")
    assert not list(folder.glob("*.d"))
    return Ran(folder, orders, logs, start, [child.returncode for child in first], survivor, said[0])


@pytest.mark.parametrize("name", CASES)
def test_two_processes_learn_what_one_learns(ran: Ran, name: str) -> None:
    alone, logs = ran.alone(name)
    found = TrainedEncoder.load(ran.orders[name].folder)
    assert [log.sequences for log in ran.logs[name]] == [log.sequences for log in logs]
    np.testing.assert_allclose([log.loss for log in ran.logs[name]], [log.loss for log in logs], rtol=1e-5)
    for key, weight in state(alone).items():
        torch.testing.assert_close(state(found)[key], weight, rtol=0, atol=2e-4, msg=key)
    np.testing.assert_allclose(found.crowd, alone.crowd, atol=1e-3)
    assert (found.vocabulary, found.newest) == (alone.vocabulary, alone.newest)


def test_where_one_dies_the_other_fails_and_both_go_on_with_the_same_bits(ran: Ran) -> None:
    assert ran.killed[1] == -signal.SIGKILL
    assert ran.killed[0] not in (0, -signal.SIGKILL)  # it noticed, and waited for nobody
    assert "Connection" in ran.survivor
    assert "training goes on from a checkpoint" in ran.said
    assert len(ran.logs["killed"]) == len(ran.logs["long"]) == LONG["epochs"]
    assert [log.loss for log in ran.logs["killed"]] == [log.loss for log in ran.logs["long"]]
    one, other = (TrainedEncoder.load(ran.orders[name].folder) for name in ("killed", "long"))
    for key, weight in state(one).items():
        assert torch.equal(weight, state(other)[key]), key


def test_a_process_that_sees_no_order_says_where_it_should_lie(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"does not see .*order\.json.*`artifacts` must lie on a file system"):
        as_rank(tmp_path)


@pytest.mark.parametrize(("size", "world"), [(7, 2), (6, 3), (2, 2), (1, 2), (3, 4)])
def test_each_row_is_somebody_s_and_few_rows_are_everybody_s(size: int, world: int) -> None:
    rows = np.concatenate([Ranks(rank, world).mine(size) for rank in range(world)])
    assert np.bincount(rows).tolist() == [1 if size >= world else world] * size


def test_one_process_adds_and_follows_nothing() -> None:
    one = torch.tensor([1.0, 2.0])
    ALONE.add([one])
    ALONE.follow(one)
    ALONE.agree("anything", "x")
    assert one.tolist() == [1.0, 2.0]


def test_processes_that_differ_are_told_so() -> None:
    children = processes(DIFFER)
    for rank, said in enumerate(ended(children)):
        assert f"the 2 processes of the training differ in versions; process {rank} has {rank}." in said
