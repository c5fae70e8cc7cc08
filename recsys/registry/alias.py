"""The alias and its history: it moves under a lock, from the version that was compared with, and says who and why.

Tags of a version tell what became of it, `decision.outcome`:

promoting     written just before the alias moves       rolling back   written just before it moves back
promoted      it moved                                  rolled back    it moved back
refused       it did not; `decision.reason` says why    interrupted    a process ended between the two

Whoever takes the lock next puts right what an interrupted process left (`settle`). No PyTorch: rollback must be quick.
"""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

import mlflow
from mlflow.entities.model_registry import ModelVersion

from recsys.config import RegistrySettings, Settings
from recsys.errors import RefusedError
from recsys.registry.client import asking, champion, version_of
from recsys.registry.compare import Comparison
from recsys.registry.kept import alone, fetch_model, registry_folder

BUNDLE, OUTCOME, PREVIOUS, REASON = "bundle", "decision.outcome", "decision.previous", "decision.reason"
PROMOTING, PROMOTED, REFUSED, INTERRUPTED = "promoting", "promoted", "refused", "interrupted"
ROLLING, ROLLED = "rolling back", "rolled back"


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

    False, and nothing is changed: the alias points elsewhere by now. Raises RefusedError: another process holds the
    lock; RegistryError: no answer.
    """
    names = settings.registry
    with alone(registry_folder(settings)):
        present = settle(names)
        if (None if present is None else str(present.version)) != decision.previous:
            return False
        record(names, decision, PROMOTING)
        _point(names, decision.version)
        tag(names, decision.version, {OUTCOME: PROMOTED})
    return True


def rollback(settings: Settings, work: Path, why: str = "", by: str = "", to: str | None = None) -> Decision:
    """Point the alias at the version that was champion before (or at `to`, an earlier champion), verified again.

    The version that was champion keeps who (`by`; default: the user's name), when and `why` in tags `rollback.*`.

    Raises RefusedError: there is no champion, none before it, `to` never was one, or the alias is being moved.
    BundleError: the earlier version is not sound. RegistryError: no answer.
    """
    names = settings.registry
    present = champion(names)
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
    with alone(registry_folder(settings)):
        now = settle(names)
        if now is None or now.version != present.version:
            raise RefusedError(f"The {names.alias!r} was moved while version {target} was verified; try again.")
        tag(names, str(present.version), {f"rollback.{key}": value for key, value in told.items()})
        tag(names, str(present.version), {OUTCOME: ROLLING})
        _point(names, target)
        tag(names, str(present.version), {OUTCOME: ROLLED})
        tag(names, target, {OUTCOME: PROMOTED})
    # The earlier version keeps its own predecessor, so that a second rollback goes one step further.
    before = earlier.tags.get(PREVIOUS) or None
    reason = f"rolled back from version {present.version} by {told['by']}: {told['reason']}"
    return Decision(outcome=PROMOTED, version=target, bundle=earlier.tags[BUNDLE], previous=before, reason=reason)


def settle(settings: RegistrySettings) -> ModelVersion | None:
    """Put right the outcomes that a process left which ended in the middle; returns the champion. Needs the lock."""
    present = champion(settings)
    ended = {PROMOTING: INTERRUPTED, ROLLING: ROLLED}
    for outcome, elsewhere in ended.items():
        with asking():
            left = mlflow.MlflowClient().search_model_versions(
                f"name = '{settings.model}' and tags.`{OUTCOME}` = '{outcome}'"
            )
        for one in left:
            if present is None or one.version != present.version:
                tag(settings, str(one.version), {OUTCOME: elsewhere})
    if present is not None and present.tags.get(OUTCOME) not in (None, PROMOTED):
        tag(settings, str(present.version), {OUTCOME: PROMOTED})
    return present


def record(settings: RegistrySettings, decision: Decision, outcome: str) -> None:
    """Write the decision into the version's tags; `outcome` last, so that what has one has all."""
    figures = {} if decision.comparison is None else asdict(decision.comparison)
    fields = {"previous": decision.previous or "", "reason": decision.reason, **figures, "at": _now()}
    fields["by"] = getpass.getuser()
    tag(settings, decision.version, {f"decision.{key}": str(value) for key, value in fields.items()})
    tag(settings, decision.version, {OUTCOME: outcome})


def tag(settings: RegistrySettings, version: str, tags: Mapping[str, str]) -> None:
    """Write tags of a version, one after the other. RegistryError: no answer."""
    with asking():
        for key, value in tags.items():
            mlflow.MlflowClient().set_model_version_tag(settings.model, version, key, value)


def _point(settings: RegistrySettings, version: str) -> None:
    with asking():
        mlflow.MlflowClient().set_registered_model_alias(settings.model, settings.alias, version)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
