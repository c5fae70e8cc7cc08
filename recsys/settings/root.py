"""Every setting: its type, default, bounds and meaning. `recsys.config` reads them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from recsys.settings.item import ItemFeature
from recsys.settings.operations import GateSettings, Operation, SelectionSettings
from recsys.settings.section import Section
from recsys.settings.serving import ServingSettings
from recsys.settings.user import UserFeature as UserFeature


class Behaviour(Section):
    """What one behaviour type means to profiles and models."""

    weight: float = Field(1.0, ge=0, description="strength of interest, relative to a view")
    engaged: bool = Field(True, description="kept in the user's last K behaviours")
    target: bool = Field(False, description="a success that the ranker learns to predict")


BEHAVIOURS: dict[str, Behaviour] = {
    "impression": Behaviour(weight=0.0, engaged=False),
    "view": Behaviour(),
    "search": Behaviour(weight=0.5),
    "click": Behaviour(weight=1.5, target=True),
    "cart": Behaviour(weight=3.0, target=True),
    "purchase": Behaviour(weight=5.0, target=True),
    "rating": Behaviour(weight=2.0, target=True),
}


class StreamSettings(Section):
    """The two streaming queries."""

    dedupe_days: int = Field(7, ge=1, description="days after arrival within which the state store knows an event id")
    retention_days: int = Field(400, ge=1, description="an event known this many days after it happened is too late")
    future_minutes: int = Field(10, ge=0, description="how far an event's time may lie after its arrival")
    max_files: int = Field(64, ge=1, description="source files in one micro-batch")
    max_events_files: int = Field(64, ge=1, description="files of `events` in one micro-batch of the profiles query")
    rebuild_mb: int = Field(256, ge=1, description="size of `events` files in one micro-batch of jobs/rebuild.py")
    tile_minutes: int = Field(5, ge=1, le=60, description="width of an item tile; divides 60")
    embed: bool = Field(True, description="a batch also makes its users' vectors, with the champion if there is one")
    champion_s: float = Field(30.0, gt=0, description="seconds between two looks at the registry for a new champion")


class FeatureSettings(Section):
    """Behaviour features."""

    k: int = Field(256, ge=1, le=4096, description="engaged behaviours kept per user")
    session_gap_minutes: int = Field(30, ge=1, description="a longer pause starts a new session")
    bot_events_per_10m: int = Field(150, ge=2, description="this many engaged behaviours in 10 minutes mark a bot")
    bot_median_gap_s: float = Field(2.0, ge=0, description="a median gap below this over many behaviours marks a bot")
    bot_min_events: int = Field(50, ge=2, description="behaviours below which the gap rule is silent")
    user: tuple[UserFeature, ...] = Field((), description="further features of users: docs/features.md")
    item: tuple[ItemFeature, ...] = Field((), description="further features of items: docs/features.md")


class EncoderSettings(Section):
    """The causal Transformer over behaviour sequences."""

    dim: int = Field(64, ge=4, description="width D of an embedding")
    blocks: int = Field(1, ge=1, description="Transformer blocks")
    heads: int = Field(2, ge=1, description="attention heads; divides dim")
    expansion: int = Field(2, ge=1, description="inner width of SwiGLU, in units of dim")
    gates: bool = Field(True, description="a sigmoid gate on what each half of a block adds")
    length: int = Field(50, ge=2, description="newest behaviours read, L")
    chunks: int = Field(1, ge=1, description="stretches of L behaviours of one user that are trained on, newest first")
    prefixes: bool = Field(False, description="a window of its own for each target, as at serving: slower, better")
    dropout: float = Field(0.3, ge=0, lt=1, description="dropout rate")
    negatives: int = Field(1024, ge=1, description="negatives shared by a batch; all items from their number upwards")
    sampling_power: float = Field(0.0, ge=0, le=1, description="negatives ~ occurrences ** power; 0: uniform")
    temperature: float = Field(0.07, gt=0, description="temperature of the cosine scores")
    smoothing: float = Field(0.0, ge=0, lt=1, description="share of a target's weight that goes to all items alike")
    type_weight: float = Field(0.0, ge=0, description="weight of guessing the next behaviour's type as well; 0: none")
    value_weight: float = Field(0.0, ge=0, description="weight of guessing the next item's rating as well; 0: none")
    masking: float = Field(0.0, ge=0, lt=1, description="share of a training window's items that are hidden at random")
    averaging: float = Field(0.0, ge=0, lt=1, description="decay of the weights' moving average, by step; 0: none")
    kernel: float = Field(0.1, gt=0, description="temperature of the kernel that compares items for pair_affinity")
    batch: int = Field(128, ge=1, description="sequences in a training batch")
    lr: float = Field(1e-3, gt=0, description="Adam's learning rate")
    epochs: int = Field(20, ge=1, description="epochs at most; validation stops earlier")
    increment_epochs: int = Field(2, ge=1, description="epochs at most of an incremental run")
    patience: int = Field(3, ge=1, description="epochs without a better validation before stopping")
    validation_users: int = Field(4000, ge=0, description="users at most whose last new item is held out; 0: none")
    validation_share: float = Field(0.1, ge=0, le=1, description="of all users, at most this share is held out")
    replay: float = Field(0.2, ge=0, description="old sequences mixed into an increment, as a share of the new ones")
    start: str = Field(
        "", description="another domain's encoder to begin with: its folder, models:/NAME/VERSION or empty"
    )
    processes: int = Field(1, ge=1, description="trains in so many tasks on executors; 1: in the driver")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="trains on this; auto: on a GPU if there is one")

    @model_validator(mode="after")
    def _heads_divide(self) -> EncoderSettings:
        if self.dim % self.heads:
            raise ValueError(f"heads={self.heads} does not divide dim={self.dim}")
        return self


class RankerSettings(Section):
    """The ranking model and its examples."""

    days: float = Field(3, gt=0, description="days of labels in a full training run")
    step_days: int = Field(
        1, ge=1, description="days of labels featured by one encoder; the next has learned from them"
    )
    negatives: int = Field(4, ge=0, description="negatives per target drawn from the hour before its list")
    wide: int = Field(4, ge=1, description="negatives per target drawn from all items of the labels' time")
    near: int = Field(4, ge=0, description="negatives per target drawn from the candidates by embedding")
    nightly: float = Field(0.5, ge=0, le=1, description="share of targets asked for up to a day before")
    lists: bool = Field(False, description="also learn from shown lists: what was shown and left alone is a negative")
    label_hours: float = Field(1.0, gt=0, le=720, description="a behaviour this long after an impression counts for it")
    known_time: bool = Field(True, description="a request sees only events that were known before it; else event time")
    load_hours: float = Field(24.0, gt=0, description="known later than this by our own clock alone: a load of history")
    hidden: tuple[int, ...] = Field((64, 32), description="widths of the hidden layers")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout rate")
    batch: int = Field(1024, ge=1, description="examples in a training batch")
    lr: float = Field(1e-3, gt=0, description="Adam's learning rate")
    cross: int = Field(1, ge=0, description="cross layers beside the hidden ones")
    weight_decay: float = Field(1e-3, ge=0, description="Adam's L2 penalty")
    validation: float = Field(0.1, gt=0, lt=1, description="newest share of the examples, held out to stop training")
    epochs: int = Field(20, ge=1, description="epochs at most; validation stops earlier")
    patience: int = Field(3, ge=1, description="epochs without a better validation before stopping")
    increment_epochs: int = Field(2, ge=1, description="epochs at most of an incremental run")
    replay: float = Field(0.5, ge=0, description="older requests mixed into an increment, as a share of its new ones")
    seen: bool = Field(False, description="label items that the user engaged with before; Top-N never recommends these")
    pool: int = Field(1000, ge=1, description="items of an hour, the most engaged ones, that negatives are drawn from")
    popularity: float = Field(0.5, ge=0, le=1, description="power of an item's events in that draw; 0: all items alike")
    max_requests: int = Field(200_000, ge=1, description="labelled requests in one run; drawn by seed beyond that")
    operations: tuple[Operation, ...] = Field((), description="what is done with features: docs/operations.md")
    tasks: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        default={}, description="a head for each target behaviour, and what one counts; empty: all alike, one head"
    )
    task_weights: Literal["fixed", "learned"] = Field(
        "fixed", description="what each head's loss counts; learned: by its uncertainty, the score keeps the weights"
    )
    pairwise: float = Field(
        0.0, ge=0, lt=1, description="share of the loss for the order of a request's items; the rest calibrates"
    )
    attention: int = Field(
        0, ge=0, le=1024, description="newest engaged behaviours that a candidate attends to; 0: it sees features only"
    )
    positions: int = Field(
        0,
        ge=0,
        le=1024,
        description="places of shown lists with a value of their own in training, none in scores; 0: off",
    )
    selection: SelectionSettings = SelectionSettings()
    gate: GateSettings = GateSettings()
    explain: int = Field(2000, ge=0, description="held-out examples that importance is measured on; 0: not measured")


class TopNSettings(Section):
    """Recommendations."""

    n: int = Field(10, ge=1, le=1000, description="items recommended to a user")
    candidates: int = Field(200, ge=1, description="candidates ranked for a user")
    popular: int = Field(100, ge=0, description="of these, the most popular items")
    exact_items: int = Field(200_000, ge=0, description="more items than this are searched by an approximate index")
    recall: float = Field(0.95, gt=0, le=1, description="share of a user's nearest items that such an index must find")
    active_days: int = Field(400, ge=1, description="the nightly lists are made for users with an event since then")


class RegistrySettings(Section):
    """MLflow names. The servers come from MLFLOW_TRACKING_URI and MLFLOW_REGISTRY_URI."""

    model: str = Field("recsys", description="registered model")
    alias: str = Field("champion", description="alias that consumers load")
    experiment: str = Field("recsys", description="prefix of the experiments, one for each model")
    confidence: float = Field(0.9, ge=0.5, lt=1, description="share of resamples in which a challenger must be ahead")
    resamples: int = Field(1000, ge=100, description="bootstrap resamples of the comparison with the champion")
    largest_mb: int = Field(16_384, ge=1, description="a model of more megabytes (2 ** 20 bytes) is not downloaded")


class EvaluateSettings(Section):
    """Metrics by time split."""

    users: int = Field(200_000, ge=1, description="test users of a day, drawn by seed beyond that")
    requests: int = Field(20_000, ge=1, description="requests of a day in streaming mode, drawn by seed beyond that")
    window_hours: int = Field(24, ge=1, description="window of the popularity baselines")
    step_minutes: int = Field(5, ge=1, le=60, description="rolling popularity is renewed this often; divides 60")
    parity: float = Field(0.01, ge=0, le=1, description="share of users whose features a night computes anew")
    heavy: int = Field(20, ge=1, description="behaviours in the history from which a user is heavy")
    resamples: int = Field(500, ge=100, description="bootstrap resamples of the users")


class FoldSettings(Section):
    """What the night does so that tables do not grow by what nobody reads."""

    packed_days: int = Field(8, ge=1, description="age in days from which files of `events` are packed into large ones")
    vacuum: bool = Field(False, description="delete files that only versions of more than a week ago need")


class Settings(Section):
    """Everything that a job reads."""

    warehouse: str = Field("warehouse", description="folder or URI of all tables")
    checkpoints: str = Field("warehouse/_checkpoints", description="folder or URI of the streams' checkpoints")
    artifacts: str = Field("warehouse/_artifacts", description="folder or URI of models in the making and reports")
    mapping: str = Field("conf/sources/simulate.yaml", description="the source's mapping")
    source: str = Field("", description="folder or URI of the source's files")
    catalogue: str = Field("", description="file or URI of the catalogue; empty: derived from events")
    pseudonym_key_file: str = Field("", description="file of the HMAC key; empty: RECSYS_PSEUDONYM_KEY, else made")
    timezone: str = Field("UTC", description="zone of the business day")
    seed: int = Field(20171016, description="seed of everything random")
    threads: int = Field(1, ge=1, description="PyTorch threads of a training on the driver; the weights depend on it")
    behaviours: dict[str, Behaviour] = Field(default=BEHAVIOURS, description="behaviour types; order gives the code")
    stream: StreamSettings = StreamSettings()
    features: FeatureSettings = FeatureSettings()
    encoder: EncoderSettings = EncoderSettings()
    ranker: RankerSettings = RankerSettings()
    topn: TopNSettings = TopNSettings()
    registry: RegistrySettings = RegistrySettings()
    serving: ServingSettings = ServingSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    fold: FoldSettings = FoldSettings()
    spark: dict[str, str] = Field(default={}, description="Spark settings; spark-submit's own win")

    @field_validator("spark", mode="before")
    @classmethod
    def _as_text(cls, spark: object) -> object:  # YAML reads 8 and true as a number and a truth value
        if not isinstance(spark, dict):
            return spark
        return {key: str(v).lower() if isinstance(v, bool) else str(v) for key, v in spark.items()}

    def engaged(self) -> tuple[str, ...]:
        """Names of the behaviours that are kept in a user's last K."""
        return tuple(name for name, behaviour in self.behaviours.items() if behaviour.engaged)

    def targets(self) -> tuple[str, ...]:
        """Names of the behaviours that the ranker learns to predict."""
        return tuple(name for name, behaviour in self.behaviours.items() if behaviour.target)
