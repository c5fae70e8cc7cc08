"""Whether a round counts, and whether it left the registry as it must be."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.act import Act
from tests.faults.world import World

EXPECTED = {"kill": {-signal.SIGKILL}, "down": {4}, "missing": {5}, "champion_missing": {0}, "meet": {0, 3}}
Words = list[str]


@dataclass
class Round:
    """One round: what was to happen, and what did."""

    name: str
    number: int
    cold: bool
    ordered: bool = True
    acts: list[Act] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    moves: int = 0  # entered before
    before: str = ""  # where the last of them leads
    champion_files: Path = Path()


def faults_of(world: World, one: Round) -> tuple[list[str], bool]:
    """What is wrong after the round, and whether the round counts."""
    lines = world.journal()
    own = {act.name: [words for words in lines if words[1] == act.name] for act in one.acts}
    wrong = [
        f"{one.name}: {act.do} ended with {code}"
        for act, code in zip(one.acts, one.codes, strict=True)
        if code not in EXPECTED[act.fault]
    ]
    wrong += [f"{one.name}: {text}" for text in _record(world, one, lines)]
    if one.acts[0].fault == "meet":
        return wrong, _overlap(*own.values())
    return wrong, _inside(own[one.acts[0].name], one.acts[0].fault in ("kill", "down"))


def _inside(own: list[Words], ended: bool) -> bool:
    """Whether the fault came after a write, and before another one, which a process that it `ended` did not get to."""
    fault = next((place for place, words in enumerate(own) if words[2] == "fault"), None)
    if fault is None:
        return False
    done = [place for place, words in enumerate(own) if words[2] == "end"]
    later = any(place > fault for place in done)
    return any(place < fault for place in done) and later != ended


def _overlap(first: list[Words], second: list[Words]) -> bool:
    """Whether each process had a write before the other's last one."""
    spans = [[float(words[0]) for words in own if words[2] in ("begin", "end")] for own in (first, second)]
    return all(spans) and spans[0][0] < spans[1][-1] and spans[1][0] < spans[0][-1]


def _record(world: World, one: Round, lines: list[Words]) -> list[str]:
    """The alias points at a version that has answered; predecessors are true; nothing is left half done."""
    alias, outcome, entered = world.alias(), world.tags("decision.outcome"), world.moves()
    answered = {words[3] for words in lines if words[2] == "answered"}
    wrong = [] if alias in answered else [f"version {alias} is champion and was never verified"]
    now = one.before
    for move in entered[one.moves :]:
        if move.previous is not None and move.previous != now:
            wrong.append(f"version {move.to} took over from {now}, its record says {move.previous}")
        now = move.to
    # As long as the last move is not done, the alias may be where the one before it led.
    if alias not in {now, now if entered[-1].done else entered[-2].to}:
        wrong.append(f"the alias is at {alias}, was last moved to {now}")
    if 0 in one.codes:  # it finished what earlier rounds left
        wrong += [f"the move to version {move.to} is half done for good" for move in entered if not move.done]
        if outcome.get(alias) != "promoted":
            wrong.append(f"version {alias} is champion and says {outcome.get(alias)!r}")
    return wrong
