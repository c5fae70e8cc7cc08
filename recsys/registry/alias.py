"""The alias and its history: it moves from the version that was compared with, and says who and why.

Tags of a version tell what became of it, `decision.outcome`:

promoted      the alias was pointed at it      refused      it was not; `decision.reason` says why
rolled back   the alias was taken off it       none: its process ended before a decision was entered

Moves are entered before they are made (`moves`). No PyTorch: rollback must be quick.
"""

from __future__ import annotations

import getpass
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from recsys.config import Settings
from recsys.errors import RefusedError
from recsys.registry.client import version_of
from recsys.registry.compare import Comparison
from recsys.registry.kept import fetch_model
from recsys.registry.moves import OUTCOME, Move, make, settle

BUNDLE, PREVIOUS, REASON = "bundle", "decision.previous", "decision.reason"
PROMOTED, REFUSED, ROLLED = "promoted", "refused", "rolled back"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What became of a version. It is also written into the version's tags, each field as `decision.FIELD`."""

    outcome: str  # promoted or refused
    version: str  # empty: refused before there was one
    bundle: str
    previous: str | None  # version that the alias pointed at before
    reason: str
    comparison: Comparison | None = None

    def require(self) -> None:
        """Raise RefusedError with the reason unless the alias points at the version now."""
        if self.outcome == REFUSED:
            raise RefusedError(f"{named(self.version)} was not promoted: {self.reason}.")


def named(version: str) -> str:
    """What was decided on, as the first words of a sentence."""
    return f"Version {version}" if version else "What is new"


def move(settings: Settings, decision: Decision) -> bool:
    """Make `decision.version` the champion in place of `decision.previous`.

    False, and nothing is changed: the alias points elsewhere by now. Raises RegistryError: no answer.
    """
    names = settings.registry
    while True:
        last, present = settle(names)
        if (None if present is None else str(present.version)) != decision.previous:
            return False
        told = {decision.version: fields_of(decision, PROMOTED)}
        if make(names, Move(number=last + 1, to=decision.version, told=told)):
            return True


def rollback(settings: Settings, work: Path, why: str = "", by: str = "", to: str | None = None) -> Decision:
    """Point the alias at the version that was champion before (or at `to`, an earlier champion), verified again.

    The version that was champion keeps who (`by`; default: the user's name), when and `why` in tags `rollback.*`.

    Raises RefusedError: there is no champion, none before it, `to` never was one, or the alias was moved meanwhile.
    BundleError: the earlier version is not sound. RegistryError: no answer.
    """
    names = settings.registry
    _, present = settle(names)
    if present is None:
        raise RefusedError(f"Model {names.model!r} has no {names.alias!r} to roll back from.")
    target = to or present.tags.get(PREVIOUS)
    if not target:
        raise RefusedError(f"Version {present.version} was the first {names.alias!r}: there is none to go back to.")
    earlier = version_of(names, target)
    if target == str(present.version) or earlier.tags.get(OUTCOME) not in (PROMOTED, ROLLED):
        raise RefusedError(f"Version {target} was no {names.alias!r} before version {present.version}.")
    fetch_model(names, target, earlier.tags.get(BUNDLE, ""), work)  # before anything is written
    told = {"to": target, "by": by or getpass.getuser(), "at": _now(), "reason": why or "not given"}
    changed = {f"rollback.{key}": value for key, value in told.items()} | {OUTCOME: ROLLED}
    changes = {str(present.version): changed, target: {OUTCOME: PROMOTED}}
    while True:
        last, now = settle(names)
        if now is None or now.version != present.version:
            raise RefusedError(f"The {names.alias!r} was moved while version {target} was verified; try again.")
        version_of(names, target)  # it may have been deleted meanwhile
        if make(names, Move(number=last + 1, to=target, told=changes)):
            break
    # The earlier version keeps its own predecessor, so that a second rollback goes one step further.
    before = earlier.tags.get(PREVIOUS) or None
    reason = f"rolled back from version {present.version} by {told['by']}: {told['reason']}"
    return Decision(outcome=PROMOTED, version=target, bundle=earlier.tags[BUNDLE], previous=before, reason=reason)


def fields_of(decision: Decision, outcome: str) -> dict[str, str]:
    """The decision as a version's tags; `outcome` last, so that what has one has all."""
    figures = {} if decision.comparison is None else asdict(decision.comparison)
    fields = {"previous": decision.previous or "", "reason": decision.reason, **figures, "at": _now()}
    fields["by"] = getpass.getuser()
    return {f"decision.{key}": str(value) for key, value in fields.items()} | {OUTCOME: outcome}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
