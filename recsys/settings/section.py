"""What every group of settings is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A group of settings: no unknown keys, no change after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid")
