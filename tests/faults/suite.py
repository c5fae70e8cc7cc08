"""Rounds of promotion under faults, forked from this warmed process, while a reader loads and scores.

A round counts only if its fault fell between the first and the last registry write of its process.
`python -m tests.faults.suite --rounds 500` prints what was found as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from tests.faults.act import PHASES, ROLLBACK_PHASES, Act, _files, perform
from tests.faults.check import Round, faults_of
from tests.faults.reader import read
from tests.faults.world import World

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 300.0  # of one round
MEET_S = 60.0  # for a partner to come
KILLS = [(f"kill {phase}", "promote", phase) for phase in PHASES]
KILLS += [(f"kill {phase} (rollback)", "rollback", phase) for phase in ROLLBACK_PHASES]
OTHERS = ["race", "race with rollback", "down verified", "down marked", "missing artifact", "missing champion"]
NAMED = [name for name, _, _ in KILLS] + OTHERS


@dataclass
class Found:
    """What all rounds came to."""

    rounds: int = 0  # that count
    tried: int = 0
    cold: int = 0
    seconds: float = 0.0
    phases: dict[str, int] = field(default_factory=dict)
    loads: int = 0
    fresh: int = 0
    behind: int = 0
    broken: list[str] = field(default_factory=list)  # loads of the reader that were not a complete, verified champion
    wrong: list[str] = field(default_factory=list)  # what the registry's own record got wrong
    without_order: list[str] = field(default_factory=list)  # what a last race gets wrong whose moves have no order


def run(folder: Path, rounds: int, cold: int, seed: int, names: Sequence[str] = NAMED) -> Found:
    """Run until `rounds` count, `cold` of them in processes of their own, the named phases in turn.

    In a last race, which does not count, a number may be taken twice, to see that this would be noticed.
    """
    torch.set_num_threads(1)
    world, began, found = World(folder), time.monotonic(), Found()
    expected = world.make()
    log = folder / "log"
    _ended_well(log, _fork(log, lambda: _prepare(world)))
    reader = _fork(log, lambda: _read(world, expected))
    draw, seen = random.Random(seed), Counter[str]()
    try:
        while found.rounds < rounds and found.tried < 2 * rounds:
            name = names[found.tried % len(names)]
            one = Round(name=name, number=found.tried, cold=found.cold < cold and name.startswith("kill"))
            _play(world, one, draw)
            found.tried += 1
            wrong, counts = faults_of(world, one)
            found.wrong += wrong
            with (folder / "rounds").open("a") as file:  # to look at while it runs
                file.write(json.dumps([one.name, one.cold, counts, one.codes, wrong]) + "\n")
            if counts:
                found.rounds, found.cold = found.rounds + 1, found.cold + one.cold
                seen[name] += 1
        last = Round(name="race", number=found.tried, cold=False, ordered=False)
        _play(world, last, draw)
        found.without_order, _ = faults_of(world, last)
    finally:
        (folder / "stop").touch()
        _ended_well(log, reader)
    told = json.loads((folder / "reader.json").read_text())
    ever = {words[5] for words in world.journal() if words[2:4] in (["begin", "set_registered_model_alias"],)}
    found.broken = told["broken"] + [f"version {v} never was champion" for v in told["versions"] if v not in ever]
    found.loads, found.fresh, found.behind = told["loads"], told["fresh"], told["behind"]
    found.phases, found.seconds = dict(seen), time.monotonic() - began
    return found


def _play(world: World, one: Round, draw: random.Random) -> None:
    """Start the round's processes, one or two, and wait for them."""
    for act in _acts(world, one, draw):
        one.acts.append(act)
        if one.cold:
            command = [sys.executable, "-m", "tests.faults.act", act.text()]
            one.pids.append(subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL).pid)
        else:
            one.pids.append(_fork(world.folder / "log", lambda act=act: perform(act)))  # type: ignore[misc]
    one.codes = [os.waitstatus_to_exitcode(_wait(pid)) for pid in one.pids]
    if (world.folder / "away").exists():
        (world.folder / "away").rename(one.champion_files)
    if world.disturbed() % 2:
        world.disturb()


def _acts(world: World, one: Round, draw: random.Random) -> list[Act]:
    entered = world.moves()
    one.moves, one.before = len(entered), entered[-1].to
    one.champion_files = _files(world, one.before)
    here, names = str(world.folder), [f"r{one.number}{letter}" for letter in "ab"]
    bundles = [str(draw.choice(world.bundles)) for _ in names]
    kind, _, rest = one.name.partition(" ")
    first = Act(world=here, name=names[0], do="promote", bundle=bundles[0], without_order=not one.ordered)
    more = asdict(first)
    if kind == "kill":
        do = "rollback" if rest.endswith("(rollback)") else "promote"
        return [Act(**more | {"do": do, "phase": rest.split()[0], "fault": "kill"})]
    if kind == "down":
        return [Act(**more | {"phase": rest, "fault": "down", "busy_s": 0.3})]
    if one.name == "missing artifact":
        return [Act(**more | {"phase": "tagged", "fault": "missing"})]
    if one.name == "missing champion":
        return [Act(**more | {"phase": "compared", "fault": "champion_missing"})]
    second = more | {"name": names[1], "bundle": bundles[1], "partner": names[0], "fault": "meet"}
    both = more | {"partner": names[1], "fault": "meet"}
    if "rollback" in rest:  # it has entered its move, and waits for a promoter who has compared with what it leaves
        back = second | {"do": "rollback", "meets": (("entered", "compared", MEET_S),)}
        return [Act(**both | {"meets": (("compared", "entered", MEET_S),)}), Act(**back)]
    meets = (("compared", "compared", MEET_S), ("settled", "settled", MEET_S))
    return [Act(**both | {"meets": meets}), Act(**second | {"meets": meets})]


def _prepare(world: World) -> int:
    """A registry with three champions behind it, made before it is reached through an address of its own."""
    from recsys.registry import promote, tracking
    from recsys.registry.kept import registry_folder
    from tests.faults.act import _journal_writes, _measured
    from tests.faults.world import BATCH

    tracking.connect(world.settings)
    _journal_writes(world, Act(world=str(world.folder), name="first", do="promote"))
    for folder in world.bundles[:3]:
        promote.promote(folder, world.settings, BATCH, lambda *_: _measured(0.1), registry_folder(world.settings))
    return 0


def _read(world: World, expected: dict[str, list[list[float]]]) -> int:
    read(world, expected)
    return 0


def _fork(log: Path, work: Callable[[], int]) -> int:
    """Do the work in a fork of this process, which writes into the file `log`; gives its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        with log.open("a") as quiet:
            os.dup2(quiet.fileno(), 1)
            os.dup2(quiet.fileno(), 2)
        code = work()
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
            sys.stderr.flush()
        os._exit(code)


def _ended_well(log: Path, pid: int) -> None:
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        raise RuntimeError(f"a process that no fault was meant for failed: {log.read_text()[-3000:]}")


def _wait(pid: int) -> int:
    """The process's status; it is killed after LIMIT_S."""
    until = time.monotonic() + LIMIT_S
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def main() -> int:
    """From the command line; exit code 1 where anything is broken or wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--cold", type=int, default=50)
    parser.add_argument("--seed", type=int, default=20171016)
    parser.add_argument("--only", action="append", choices=NAMED, help="these phases alone")
    asked = parser.parse_args()
    found = run(asked.folder, asked.rounds, asked.cold, asked.seed, asked.only or NAMED)
    sys.stdout.write(json.dumps(asdict(found)) + "\n")
    return int(bool(found.broken or found.wrong or not found.without_order))


if __name__ == "__main__":
    sys.exit(main())
