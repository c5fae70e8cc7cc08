"""What the server is asked: one user's behaviours or id, as JSON or as fields. Every fault is one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, StrictStr, ValidationError, model_validator

from recsys.errors import RequestError
from recsys.registry.request import Row

LONGEST_ID = 1024


class Ask(Row):
    """One user's request: `recent` (empty: a new user) or `user_id`, and what may go with either."""

    user_id: Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_ID)] | None = None
    context: Annotated[dict[str, StrictStr], Field(max_length=64)] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Ask:
        if (self.recent is None) == (self.user_id is None):
            raise ValueError("give either `recent`, a list of behaviours, or `user_id`")
        return self


def from_json(body: bytes) -> Ask:
    """Read a request's body. RequestError: broken JSON, or a field that is missing, unknown or out of range."""
    try:
        return Ask.model_validate_json(body)
    except ValidationError as error:
        raise RequestError(_sentence(error)) from None


def from_fields(fields: Mapping[str, Any]) -> Ask:
    """Read a request's fields. RequestError: as `from_json`."""
    try:
        return Ask.model_validate(dict(fields))
    except ValidationError as error:
        raise RequestError(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"])
    said = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "json_invalid":
        return f"The body is no JSON: {said.partition(': ')[2] or said}."
    return f"{where}: {said}." if where else f"The request cannot be used: {said}."
