"""Settings of the ranker's inputs: what is done with features, and which are chosen. `ranking.declared` checks them."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, FiniteFloat, model_validator

from recsys.errors import nearest
from recsys.settings.section import Section

StepName = Literal["impute", "log", "standardise", "min_max", "l2_normalise", "bucketise", "one_hot", "hash"]
Method = Literal["correlation", "mutual_information", "chi2", "importance"]
STATISTICS = ("mean", "median", "most_frequent")
SIZES = {"bucketise": (2, 256), "one_hot": (2, 1024), "hash": (2, 4096)}  # both ends included
ONE_HOT = 32  # columns at most where nothing is said
MEMBERS = 4  # features at most in a cross


class Step(Section):
    """One operation on each column, written `log`, or with its number or word `{bucketise: 16}`."""

    name: StepName
    value: int | FiniteFloat | str | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: object) -> object:
        name, value = given, None
        if isinstance(given, dict) and "name" in given:
            return given
        if isinstance(given, dict) and len(given) == 1:
            ((name, value),) = given.items()
        if not isinstance(name, str):
            raise ValueError("write a step as `log`, or as `{bucketise: 16}`")
        if name not in get_args(StepName):
            raise ValueError(f"there is no step {name!r}.{nearest(name, get_args(StepName))}")
        return {"name": name, "value": ONE_HOT if name == "one_hot" and value is None else value}

    @model_validator(mode="after")
    def _complete(self) -> Step:
        number = isinstance(self.value, int | float) and not isinstance(self.value, bool)
        if self.name == "impute" and not (number or self.value in STATISTICS):
            raise ValueError(f"`impute` takes {', '.join(STATISTICS)} or a number, found {self.value!r}")
        if self.name in SIZES:
            low, high = SIZES[self.name]
            if not isinstance(self.value, int) or isinstance(self.value, bool) or not low <= self.value <= high:
                raise ValueError(f"`{self.name}` takes a whole number from {low} to {high}, found {self.value!r}")
        elif self.name != "impute" and self.value is not None:
            raise ValueError(f"`{self.name}` takes no value, found {self.value!r}")
        return self


class Operation(Section):
    """What becomes of one or several features; exactly one of the first four keys."""

    feature: str = Field("", description="this feature, in place of the default treatment")
    concatenate: tuple[str, ...] = Field((), description="these features side by side, in place of the default")
    weigh: dict[str, FiniteFloat] = Field(default={}, description="a further column: the sum of features times weights")
    cross: tuple[str, ...] = Field((), description="further columns: which buckets the features are in, jointly")
    bins: int = Field(8, ge=2, le=64, description="of a cross: buckets of each feature, by quantiles")
    buckets: int = Field(64, ge=2, le=4096, description="of a cross: columns that the combinations are hashed to")
    do: tuple[Step, ...] = Field((), description="steps in order")

    @property
    def kind(self) -> str:
        """Which of the four it is."""
        return next(kind for kind in ("feature", "concatenate", "weigh", "cross") if getattr(self, kind))

    @property
    def names(self) -> tuple[str, ...]:
        """The features that it reads."""
        return (self.feature,) if self.feature else self.concatenate or tuple(self.weigh) or self.cross

    @model_validator(mode="after")
    def _complete(self) -> Operation:
        given = [kind for kind in ("feature", "concatenate", "weigh", "cross") if getattr(self, kind)]
        if len(given) != 1:
            raise ValueError(f"an operation has one of feature, concatenate, weigh and cross, found {given}")
        if self.kind != "feature" and not 2 <= len(set(self.names)) == len(self.names):
            raise ValueError(f"`{self.kind}` takes two features or more, each once, found {list(self.names)}")
        if self.kind == "cross" and (self.do or len(self.cross) > MEMBERS):
            raise ValueError(f"`cross` takes at most {MEMBERS} features, and `bins` and `buckets` instead of `do`")
        defaults = type(self).model_fields
        if self.kind != "cross" and (self.bins, self.buckets) != (
            defaults["bins"].default,
            defaults["buckets"].default,
        ):
            raise ValueError("`bins` and `buckets` belong to a cross: write {bucketise: 8} or {hash: 64} under `do`")
        if self.kind in {"feature", "concatenate"} and not self.do:
            raise ValueError(f"`{self.kind}` needs steps under `do`; what is not declared has the default treatment")
        return self


class SelectionSettings(Section):
    """Which features the ranker reads. Chosen in a full training, from examples of training time alone."""

    drop: tuple[str, ...] = Field((), description="features left out by hand")
    by: tuple[Method, ...] = Field((), description="correlation, mutual_information, chi2, importance; empty: off")
    correlation: float = Field(0.95, gt=0, le=1, description="of two with a larger |rank correlation|, one goes")
    mutual_information: float = Field(1e-4, ge=0, description="nats about the label, less than which goes")
    chi2: float = Field(0.01, gt=0, le=1, description="p-value of independence from the label, above which goes")
    importance: FiniteFloat = Field(
        0.0, description="log loss that shuffling must cost on the newest examples, or it goes"
    )
    most: int = Field(0, ge=0, description="features at most, by importance; 0: no limit")
    rows: int = Field(50_000, ge=100, description="examples at most that each figure is measured on, drawn by seed")
    repeats: int = Field(3, ge=1, description="shuffles of each feature for its importance")
    apply: bool = Field(True, description="leave them out; false: only report what would go")

    @model_validator(mode="after")
    def _complete(self) -> SelectionSettings:
        if self.most and "importance" not in self.by:
            raise ValueError("`most` keeps the most important features: add importance to `by`")
        return self


class GateSettings(Section):
    """What new examples must be like for the ranker to learn from them. The limits hold beside the champion's own."""

    requests: int = Field(20, ge=1, description="labelled requests, fewer than which are too little to learn from")
    label_rate: float = Field(2.0, ge=1, description="largest factor between the shares of positives, then and now")
    drift: float = Field(1.0, gt=0, description="population stability index above which a feature has drifted")
    features: float = Field(0.1, ge=0, le=1, description="share of the features that may have drifted")
