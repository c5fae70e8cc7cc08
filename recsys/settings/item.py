"""How the settings declare a feature of items; what no tiles can say is refused here, with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field, field_validator, model_validator

from recsys.days import microseconds
from recsys.errors import ConfigError
from recsys.settings.section import Section

ENGAGED, EVENT = "engaged", "event"  # all engaged behaviours; all events, impressions included
NEEDS = {  # key -> the operation that needs it and no other takes it
    "value": "sum",
    "per": "rate",
    "prior": "rate",
    "reference": "trend",
    "half_life": "decayed_count",
}
LIFELONG = ("count", "sum", "rate")  # without a window they are of the item's whole life
NEAREST = {  # operations that exist for users and that counts and sums by tile cannot give -> the nearest that they can
    **dict.fromkeys(("mean", "min", "max", "std", "first", "last"), "sum"),
    "recency_s": "decayed_count",
    "distinct_items": "distinct_users",
}
HOUR = microseconds("1h")


class ItemFeature(Section):
    """A further feature of items, from their tiles; its name follows from what it is."""

    operation: Literal["count", "sum", "rate", "trend", "share", "decayed_count", "distinct_users"]
    behaviour: str = Field("", description="a behaviour, or `event`: all of them; empty: all engaged ones")
    value: Literal["", "quantity", "spend"] = Field("", description="what a sum adds up")
    per: str = Field("", description="of a rate the behaviour that it is divided by, or `event` or `engaged`")
    prior: tuple[float, float] | None = Field(None, description="of a rate what is added above and below the line")
    window: str = Field("", description="such as 15m, 6h or 14d; empty: the item's whole life")
    reference: str = Field("", description="the longer window of a trend")
    half_life: str = Field("", description="of decayed_count the age at which a behaviour counts half")

    @field_validator("operation", mode="before")
    @classmethod
    def _in_tiles(cls, operation: object) -> object:
        if isinstance(operation, str) and operation in NEAREST:
            raise ValueError(
                "item tiles hold counts, sums and sketches of users; this has no exact bounded state in them. "
                f"The nearest that has is {NEAREST[operation]!r}"
            )
        return operation

    @model_validator(mode="after")
    def _complete(self) -> ItemFeature:
        for key, operation in NEEDS.items():
            if (self.operation == operation) != bool(getattr(self, key)):
                said = "needs a" if self.operation == operation else f"is no {operation!r}, so it takes no"
                raise ValueError(f"operation {self.operation!r} {said} `{key}`")
        if not self.window and self.operation not in LIFELONG:
            whole = ", ".join(LIFELONG)
            raise ValueError(f"operation {self.operation!r} needs a `window`: of an item's whole life are only {whole}")
        try:
            texts = (self.window, self.reference, self.half_life)
            window, reference, half = (microseconds(text) if text else 0 for text in texts)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        if self.reference and reference <= window:
            raise ValueError(f"`reference` {self.reference} must be longer than `window` {self.window}")
        if self.half_life and half < HOUR:
            raise ValueError(f"`half_life` {self.half_life} is below 1h: ages are counted in hours. Write 1h or more")
        if self.prior and not 0 <= self.prior[0] <= self.prior[1] > 0:
            raise ValueError(f"`prior` is [above, below] with 0 <= above <= below, found {list(self.prior)}")
        return self


def users_of_items(features: Iterable[ItemFeature]) -> bool:
    """Whether a feature asks for the users of items, whose sketches the tiles then hold."""
    return any(feature.operation == "distinct_users" for feature in features)
