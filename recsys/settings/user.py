"""How a user declares a feature of users in the settings, and what no declaration can ask for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from recsys.days import microseconds
from recsys.errors import ConfigError
from recsys.settings.section import Section

SHORTEST, LONGEST = "1m", "90d"
# A decayed sum over a lifetime adds up 2^((t - ORIGIN) / half-life), as a double. Within FIRST and LAST, 40 years from
# ORIGIN, and with half-lives from 16 days on, that is 2^-914 to 2^914: a normal double, and a sum of 2^63 units of
# value is still one. A shorter half-life or a longer era would leave a double's exponents, -1022 to 1023.
FIRST, ORIGIN, LAST = (
    631_152_000_000_000,
    1_893_456_000_000_000,
    3_155_760_000_000_000,
)  # 1990, 2030, 2070; microseconds
SHORTEST_LIFE, LONGEST_LIFE = "16d", "3650d"  # half-lives over a lifetime
OF_VALUES = ("sum", "mean", "min", "max", "std", "first", "last")
DECAYED = ("lifetime_decayed_count", "lifetime_decayed_sum")
LIFETIME = "lifetime_"  # begins the operations that run over all of a user's events, not over the last K
OF_LIFETIME = tuple(LIFETIME + name for name in OF_VALUES if name != "std")
WHOLE = ("price", "quantity", "spend")  # values that are integers
ITEM, BEHAVIOUR, QUERY, TERM = "item", "behaviour", "query", "term"  # keys that are no column of the mapping's context
TAKES: dict[str, tuple[str, str]] = {  # operation -> what it needs, and what it may have
    "count": ("", "behaviour window"),
    "decayed_count": ("window", "behaviour"),
    "trend": ("window reference", "behaviour"),
    "distinct_items": ("", "window"),
    "recency_s": ("", "behaviour window"),
    **dict.fromkeys(OF_VALUES, ("value", "behaviour window")),
    "rate": ("behaviour per", "prior window"),
    "distinct": ("key", "behaviour window"),
    "last_k": ("key k", "behaviour window"),
    "top_k": ("key k", "behaviour window"),
    "counts": ("key", "behaviour window"),
    "means": ("key value", "behaviour window"),
    "lifetime_count": ("", "behaviour"),
    "lifetime_recency_s": ("", "behaviour"),
    "lifetime_rate": ("behaviour per", "prior"),
    **dict.fromkeys(OF_LIFETIME, ("value", "behaviour")),
    "lifetime_decayed_count": ("window", "behaviour"),
    "lifetime_decayed_sum": ("value window", "behaviour"),
    "lifetime_distinct": ("key", "behaviour"),
}


class UserFeature(Section):
    """A further feature of users; its name follows from what it is."""

    operation: Literal[
        "count",
        "decayed_count",
        "trend",
        "distinct_items",
        "recency_s",
        "sum",
        "mean",
        "min",
        "max",
        "std",
        "first",
        "last",
        "rate",
        "distinct",
        "last_k",
        "top_k",
        "counts",
        "means",
        "lifetime_count",
        "lifetime_recency_s",
        "lifetime_rate",
        "lifetime_sum",
        "lifetime_mean",
        "lifetime_min",
        "lifetime_max",
        "lifetime_first",
        "lifetime_last",
        "lifetime_decayed_count",
        "lifetime_decayed_sum",
        "lifetime_distinct",
    ]
    behaviour: str = Field("", description="only behaviours of this type; empty: all engaged ones")
    value: Literal["", "price", "quantity", "spend", "value"] = Field("", description="what is summed, averaged, ...")
    window: str = Field("", description="such as 15m, 6h or 14d; of decayed ones the half-life; empty: all K")
    reference: str = Field("", description="the longer window of a trend")
    key: str = Field("", pattern="^([a-z][a-z0-9_]*)?$", description="item, behaviour, query, term, or a context name")
    k: int = Field(0, ge=0, le=4096, description="entries of a list")
    per: str = Field("", description="the behaviours that a rate divides by")
    prior: tuple[float, float] = Field((1, 20), description="added above and below a rate's line")

    @property
    def lifetime(self) -> bool:
        """Whether it runs over all of the user's events, beyond the last K."""
        return self.operation.startswith(LIFETIME)

    @property
    def text(self) -> str:
        """The text of an event that its keys come from: `query`, a name of the mapping's context, or empty."""
        return {ITEM: "", BEHAVIOUR: "", TERM: QUERY}.get(self.key, self.key)

    @model_validator(mode="after")
    def _complete(self) -> UserFeature:
        needs, may = (set(words.split()) for words in TAKES[self.operation])
        if ("value" in needs) != bool(self.value):
            wanted = "price, quantity, spend or value" if "value" in needs else "no `value`"
            raise ValueError(f"operation {self.operation!r} takes {wanted}, found {self.value!r}")
        given = {name for name in self.model_fields_set - {"operation"} if getattr(self, name)}
        for name in sorted(needs - given):
            raise ValueError(f"operation {self.operation!r} needs `{name}`")
        for name in sorted(given - needs - may):
            raise ValueError(f"operation {self.operation!r} takes no `{name}`: leave it out.{self._instead(name)}")
        self._check_values()
        self._check_windows()
        return self

    def _instead(self, name: str) -> str:
        if self.operation == "distinct_items":
            return " `distinct` with `key: item` counts the items of one behaviour"
        if self.lifetime and name == "window":
            return " A window is exact within the last K only; `lifetime` has no horizon"
        return ""

    def _check_values(self) -> None:
        if self.operation in {"lifetime_sum", "lifetime_mean"} and self.value not in WHOLE:
            raise ValueError(
                f"a lifetime's sum of {self.value!r}, which has fractions, would depend on the order in which events "
                f"came. Take {', '.join(WHOLE)}, or the operation {self.operation.removeprefix(LIFETIME)!r}"
            )
        if self.operation == "lifetime_distinct" and self.key != ITEM:
            raise ValueError(f"a lifetime's different values are counted of `key: item` alone, found {self.key!r}")
        good, all_ = self.prior
        if not 0 <= good <= all_ or not all_:
            raise ValueError(f"`prior` [{good:g}, {all_:g}] is no rate: write [a, b] with 0 <= a <= b and b > 0")

    def _check_windows(self) -> None:
        try:
            lengths = [microseconds(window) for window in (self.window, self.reference) if window]
        except ConfigError as error:
            raise ValueError(str(error)) from None
        if self.operation in DECAYED:
            if not microseconds(SHORTEST_LIFE) <= lengths[0] <= microseconds(LONGEST_LIFE):
                raise ValueError(
                    f"a half-life over a lifetime lies between {SHORTEST_LIFE} and {LONGEST_LIFE}, found "
                    f"{self.window}: weights of a shorter one leave the range of a double within 40 years. "
                    "`decayed_count` over the last K takes any"
                )
            return
        if any(not microseconds(SHORTEST) <= length <= microseconds(LONGEST) for length in lengths):
            raise ValueError(f"a window lies between {SHORTEST} and {LONGEST}: the last K behaviours say no more")
        if lengths != sorted(set(lengths)):
            raise ValueError(f"`reference` {self.reference} must be longer than `window` {self.window}")
