"""Are the declared operations and choices possible? Asked before Spark starts. No Spark, no computation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from recsys.config import Operation, Settings
from recsys.errors import ConfigError, nearest
from recsys.features.definitions import all_features
from recsys.features.feature import Feature

LAST = {"one_hot", "hash"}  # give columns of zeros and ones: nothing can follow


def check_operations(settings: Settings) -> None:
    """ConfigError: an unknown feature (with the nearest), a step that cannot be applied, a feature declared twice."""
    features = {feature.name: feature for feature in all_features(settings.features)}
    ranker = settings.ranker
    for number, operation in enumerate(ranker.operations):
        where = f"ranker.operations.{number}"
        _check_known(where, operation.names, features)
        fault = _fault(operation, features)
        if fault:
            raise ConfigError(f"{where}: {fault}.")
    owned = Counter(replaced(ranker.operations))
    if twice := [name for name, count in owned.items() if count > 1]:
        raise ConfigError(f"ranker.operations: {twice[0]!r} stands in more than one `feature` or `concatenate`.")
    drop = ranker.selection.drop
    _check_known("ranker.selection.drop", drop, features)
    if both := sorted(set(drop) & {name for operation in ranker.operations for name in operation.names}):
        raise ConfigError(f"ranker.selection.drop: {both[0]!r} is used in ranker.operations; leave it out of one.")
    if not set(features) - set(drop):
        raise ConfigError("ranker.selection.drop: no feature is left.")


def check_tasks(settings: Settings) -> None:
    """ConfigError: `ranker.tasks` does not name each target behaviour, or something else, or is needed and empty."""
    ranker, targets = settings.ranker, settings.targets()
    for name in ranker.tasks:
        if name not in targets:
            raise ConfigError(f"ranker.tasks: {name!r} is no target behaviour.{nearest(name, targets)}")
    if lacking := [name for name in targets if ranker.tasks and name not in ranker.tasks]:
        raise ConfigError(
            f"ranker.tasks: {', '.join(lacking)} would have no head, and the ranker would not learn from it: give it a "
            "weight, or set `target: false` under behaviours."
        )
    if ranker.task_weights == "learned" and len(ranker.tasks) < 2:
        raise ConfigError("ranker.task_weights: learned weights need two heads: name the targets in ranker.tasks.")


def replaced(operations: Iterable[Operation]) -> list[str]:
    """The features that an operation treats in place of the default, in order."""
    return [
        name for operation in operations if operation.kind in {"feature", "concatenate"} for name in operation.names
    ]


def _check_known(where: str, names: Iterable[str], features: dict[str, Feature]) -> None:
    for name in names:
        if name not in features:
            raise ConfigError(f"{where}: there is no feature {name!r}.{nearest(name, features)}")


def _fault(operation: Operation, features: dict[str, Feature]) -> str:
    """Why a step cannot be applied; empty: all can."""
    whole = operation.kind != "weigh" and all(features[name].type != "double" for name in operation.names)
    done: list[str] = []
    for step in operation.do:
        if done and done[-1] in LAST:
            return f"nothing can follow `{done[-1]}`, found `{step.name}`"
        if step.name in done:
            return f"`{step.name}` stands there twice"
        if step.name == "l2_normalise" and (operation.kind != "concatenate" or "impute" not in done):
            return "`l2_normalise` needs a `concatenate` and an `impute` before it: a row has no length without"
        if step.name in LAST and not whole:
            return (
                f"`{step.name}` takes whole numbers, and {', '.join(operation.names)} are none here: "
                "put {bucketise: 8} right before it"
            )
        broken = isinstance(step.value, float) and not step.value.is_integer()
        if step.name == "bucketise":
            whole = True
        elif step.name != "impute" or step.value in {"mean", "median"} or broken:
            whole = False
        done.append(step.name)
    return ""
