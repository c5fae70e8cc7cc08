"""Reading settings: defaults < conf files in order < environment < `--set`.

`conf/base.yaml` is the defaults of `recsys.settings` written out (`python -m recsys.config`); a test keeps them equal.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from recsys.errors import ConfigError, nearest
from recsys.settings.item import ItemFeature
from recsys.settings.operations import GateSettings, Operation, SelectionSettings, Step
from recsys.settings.root import (
    BEHAVIOURS,
    Behaviour,
    EncoderSettings,
    EvaluateSettings,
    FeatureSettings,
    FoldSettings,
    RankerSettings,
    RegistrySettings,
    Settings,
    StreamSettings,
    TopNSettings,
    UserFeature,
)
from recsys.settings.section import Section
from recsys.settings.serving import ServingSettings

__all__ = [  # jobs and tests know one module for settings
    "BEHAVIOURS",
    "Behaviour",
    "EncoderSettings",
    "EvaluateSettings",
    "FeatureSettings",
    "FoldSettings",
    "GateSettings",
    "ItemFeature",
    "Operation",
    "RankerSettings",
    "RegistrySettings",
    "Section",
    "SelectionSettings",
    "ServingSettings",
    "Settings",
    "Step",
    "StreamSettings",
    "TopNSettings",
    "UserFeature",
    "describe",
    "load",
    "parse",
    "read_yaml",
]

ENV_PREFIX = "RECSYS__"
Keys = tuple[str, ...]  # keys from the outermost section inwards
M = TypeVar("M", bound=BaseModel)
_QUOTED = "'([^']*)'"


def load(files: Sequence[str] = (), assignments: Sequence[str] = (), env: Mapping[str, str] | None = None) -> Settings:
    """Read settings: defaults, then `files` in order, then `RECSYS__a__b=value`, then `a.b=value` assignments.

    Raises ConfigError: a file that is absent or no YAML mapping, an unknown key (with the nearest valid one), a value
    of the wrong type.
    """
    merged: dict[str, Any] = {}
    origins: dict[Keys, str] = {}
    for name in files:
        _merge(merged, _read(Path(name)), origins, name)
    for key, value in sorted((os.environ if env is None else env).items()):
        if key.startswith(ENV_PREFIX):
            _assign(merged, key[len(ENV_PREFIX) :].lower().split("__"), value, origins, key)
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set {assignment!r} has no '='. Write --set section.key=value.")
        _assign(merged, key.split("."), value, origins, f"--set {assignment}")
    return _validated(Settings, merged, lambda path: _origin(origins, path))


def parse(model: type[M], values: Mapping[str, Any], origin: str) -> M:
    """Validate `values`; every fault becomes one sentence that names `origin`, the key and the nearest valid one."""
    return _validated(model, values, lambda _: origin)


def _validated(model: type[M], values: Mapping[str, Any], origin: Callable[[Keys], str]) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = [_sentence(model, fault, origin) for fault in error.errors()]
        raise ConfigError("\n".join(faults)) from None


def _origin(origins: Mapping[Keys, str], path: Keys) -> str:
    """Who set the value at `path`: of a group, whoever set any of it."""
    inside = (name for key, name in origins.items() if key[: len(path)] == path)
    above = (origins[path[:end]] for end in range(len(path), 0, -1) if path[:end] in origins)
    return next(chain(above, inside), "settings")


def _sentence(model: type[BaseModel], fault: ErrorDetails, origin: Callable[[Keys], str]) -> str:
    # Of a union, pydantic names the member that it tried; the key is what stands before it.
    path = tuple(str(part) for part in fault["loc"] if not re.match(r"float$|literal\[", str(part)))
    where = ": ".join(filter(None, (origin(path), ".".join(path))))
    if fault["type"] == "extra_forbidden":
        return f"{where} is not a known key.{nearest(path[-1], _keys(model, path[:-1]))}"
    if fault["type"] == "missing":
        return f"{where} is missing: add it."
    found = "" if isinstance(fault["input"], dict | list | BaseModel) else f" is {fault['input']!r}"
    if fault["type"] == "literal_error":
        return f"{where}{found}.{nearest(str(fault['input']), re.findall(_QUOTED, fault['ctx']['expected']))}"
    message = fault["msg"].removeprefix("Value error, ").removesuffix(".")
    return f"{where}{found}: {message}{'' if message.endswith('?') else '.'}"


def _keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    for part in path:
        field = model.model_fields.get(part)
        if field is None:
            continue
        arguments = [field.annotation, *getattr(field.annotation, "__args__", ())]
        model = next((a for a in arguments if isinstance(a, type) and issubclass(a, BaseModel)), model)
    return list(model.model_fields)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"conf file {str(path)!r} does not exist (working folder {str(Path.cwd())!r}).")
    return read_yaml(path.read_text(encoding="utf-8"), str(path))


def read_yaml(text: str, origin: str) -> dict[str, Any]:
    """Parse YAML text that must be a mapping; ConfigError names `origin` and the line."""
    try:
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{origin}: not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{origin}: the file holds a {type(values).__name__}; write `key: value` lines.")
    return values


def _merge(into: dict[str, Any], values: Mapping[str, Any], origins: dict[Keys, str], origin: str) -> None:
    for path in _leaves(values, ()):
        origins[path] = origin
    _overlay(into, values)


def _leaves(values: Mapping[str, Any], above: Keys) -> Iterator[Keys]:
    for key, value in values.items():
        path = (*above, str(key))
        if isinstance(value, dict) and value:
            yield from _leaves(value, path)
        else:
            yield path


def _overlay(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _overlay(into[key], value)
        else:
            into[key] = value


def _assign(into: dict[str, Any], path: Sequence[str], text: str, origins: dict[Keys, str], origin: str) -> None:
    if path[0] == "spark":  # names of Spark's settings have dots of their own
        path = ("spark", ".".join(path[1:]))
    try:
        value: Any = yaml.safe_load(text) if text else ""
    except yaml.YAMLError:
        raise ConfigError(f"{origin}: {text!r} is no YAML value. Quote it.") from None
    for part in reversed(path):
        value = {part: value}
    _merge(into, value, origins, origin)


def describe() -> str:
    """Every setting at its default, as YAML with its description beside it: the text of `conf/base.yaml`."""
    lines = ["# Every setting at its default, written by `python -m recsys.config`; overlay it, do not edit it."]
    _describe(Settings(), lines, "")
    return "\n".join(lines) + "\n"


def _describe(section: BaseModel, lines: list[str], indent: str) -> None:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            lines.append(f"{indent}{name}:")
            _describe(value, lines, indent + "  ")
            continue
        plain = (
            {k: v.model_dump() if isinstance(v, Section) else v for k, v in value.items()}
            if isinstance(value, dict)
            else value
        )
        text = yaml.safe_dump(
            list(plain) if isinstance(plain, tuple) else plain, default_flow_style=True, width=10_000, sort_keys=False
        )
        lines.append(f"{indent}{name}: {text.removesuffix('...' + chr(10)).strip()}  # {field.description}")


if __name__ == "__main__":
    print(describe(), end="")
