"""Every table: columns with their meaning, key, kind, layout, and which columns point at a person. No Spark in here.

Times are UTC with microseconds. Prices are integers in minor units (cents), so that sums do not depend on their order.
"""

from __future__ import annotations

from recsys.schema import Column as Column
from recsys.schema import Table as Table


def _c(name: str, type: str, meaning: str, person: bool = False) -> Column:
    return Column(name=name, type=type, meaning=meaning, person=person)


USER_ID = _c("user_id", "string", "keyed pseudonym of the user; NULL: anonymous", person=True)
ITEM_ID = _c("item_id", "string", "the source's item id")
EPOCH = _c("epoch", "bigint", "grows with each new checkpoint; first half of the row's version")
BATCH = _c("batch", "bigint", "micro-batch that wrote the row; second half of its version")
BUNDLE = _c("bundle", "string", "id of the model bundle that made the row")

_BEHAVIOUR = (
    _c("event_id", "string", "the source's id of the event, else a hash over the columns that the mapping names"),
    _c("event_time", "timestamp", "when the user did it"),
    _c("behaviour", "string", "behaviour type, as declared in the settings or the mapping"),
    _c("item_id", "string", "item concerned; NULL for a search"),
    _c("price_minor", "bigint", "price of one piece in minor units; NULL: unknown"),
    _c("quantity", "bigint", "pieces; 1 where the source has none"),
    _c("value", "double", "the behaviour's own value: a rating, seconds watched; NULL: none"),
)
RECENT_FIELDS = tuple(column.name for column in _BEHAVIOUR)
RECENT_TYPE = "array<struct<" + ", ".join(f"{c.name}: {c.type}" for c in _BEHAVIOUR) + ">>"

EVENTS = Table(
    name="events",
    row="a clean behaviour",
    key=("event_id",),
    kind="append",
    partition_by=("event_date",),
    columns=(
        *_BEHAVIOUR,
        USER_ID,
        _c("session_id", "string", "pseudonym of the source's session; NULL: none", person=True),
        _c("query", "string", "search text, NFKC, lower case, single blanks"),
        _c("request_id", "string", "the list that the item was shown in; NULL: none"),
        _c("position", "int", "place in that list, from 1"),
        _c("context", "map<string,string>", "further columns that the mapping keeps: device, country"),
        _c("imputed", "array<string>", "columns whose value was set by a missing-value or outlier policy"),
        _c("known_at", "timestamp", "when the pipeline could first know it; written once"),
        _c("ingest_time", "timestamp", "start of the micro-batch that accepted it"),
        _c("origin", "string", "the source's name in its mapping"),
        _c("event_date", "date", "UTC day of event_time"),
    ),
)

REJECTED_EVENTS = Table(
    name="rejected_events",
    row="an input that could not be used",
    key=(),
    kind="append",
    columns=(
        _c("reasons", "array<string>", "every reason, as `code` or `code:column`"),
        _c("raw", "string", "the input as JSON, ids of persons replaced by pseudonyms", person=True),
        _c("origin", "string", "the source's name in its mapping"),
        _c("ingest_time", "timestamp", "start of the micro-batch that rejected it"),
    ),
)

BATCHES = Table(
    name="batches",
    row="what one batch did to all tables; written last, so it is the commit point",
    key=("query", "epoch", "batch"),
    kind="append",
    columns=(
        _c("query", "string", "the streaming query or job"),
        EPOCH,
        BATCH,
        _c("versions", "map<string,bigint>", "Delta version of each table that the batch wrote"),
        _c("rows_in", "bigint", "input rows"),
        _c("accepted", "bigint", "rows that became events"),
        _c("duplicate", "bigint", "rows whose event was known already"),
        _c("rejected", "bigint", "rows set aside with a reason"),
        _c("started_at", "timestamp", "when the batch began"),
        _c("committed_at", "timestamp", "when this row was written"),
    ),
)

ITEMS = Table(
    name="items",
    row="a catalogue item during a span of time",
    key=("item_id", "valid_from"),
    kind="slowly changing",
    columns=(
        ITEM_ID,
        _c("category", "string", "category path, `a|b`; NULL: unknown"),
        _c("price_minor", "bigint", "list price in minor units; NULL: unknown"),
        _c("title", "string", "title, NFKC; NULL: unknown"),
        _c("description", "string", "further text; NULL: none"),
        _c("sales_volume", "bigint", "pieces sold so far"),
        _c("in_stock", "boolean", "may be recommended"),
        _c("vector", "array<float>", "precomputed image or other vector; NULL: none"),
        _c("valid_from", "timestamp", "first moment of the span, closed"),
        _c("valid_to", "timestamp", "end of the span, open; NULL: still valid"),
    ),
)

USER_PROFILES = Table(
    name="user_profiles",
    row="a user's state as of the newest event; the features package adds its columns",
    key=("user_id",),
    kind="newest wins",
    columns=(
        USER_ID,
        EPOCH,
        BATCH,
        _c("as_of", "timestamp", "time of the user's newest event; windows are true at this moment and stale after"),
        _c("recent", RECENT_TYPE, "last K engaged behaviours in total order (event_time, event_id), oldest first"),
        _c("counts", "map<string,bigint>", "lifetime number of events by behaviour, impressions included"),
        _c("spend_minor", "bigint", "lifetime sum of price x quantity over purchases, minor units"),
        _c("first_time", "timestamp", "time of the user's first event"),
        _c("truncated", "boolean", "the user has more engaged behaviours than `recent` holds"),
    ),
)

ITEM_TILES = Table(
    name="item_tiles",
    row="partial counts and sums of an item and behaviour in a time tile",
    key=("item_id", "behaviour", "tile"),
    kind="summed",
    partition_by=("tile_date",),
    columns=(
        ITEM_ID,
        _c("behaviour", "string", "behaviour type"),
        _c("tile", "timestamp", "first moment of the tile, closed"),
        _c("events", "bigint", "number of events"),
        _c("pieces", "bigint", "sum of quantities"),
        _c("revenue_minor", "bigint", "sum of price x quantity, minor units"),
        EPOCH,
        BATCH,
        _c("tile_date", "date", "UTC day of the tile"),
    ),
)

ITEM_FEATURES = Table(
    name="item_features",
    row="an item's features at the start of an hour; the features package adds its columns",
    key=("item_id", "hour"),
    kind="replaced by partition",
    partition_by=("day",),
    columns=(
        ITEM_ID,
        _c("hour", "timestamp", "moment the features are true at; windows are [hour - w, hour)"),
        _c("day", "date", "UTC day of hour"),
    ),
)

_VECTOR = (
    BUNDLE,
    _c("vector", "array<float>", "unit-length embedding, D values"),
    _c("as_of", "timestamp", "newest event that the vector knows"),
    _c("made_by", "string", "`host/pid` of the process that ran the model"),
)
USER_EMBEDDINGS = Table(
    name="user_embeddings",
    row="a user's vector and the bundle that made it",
    key=("user_id", "bundle"),
    kind="newest wins",
    columns=(USER_ID, *_VECTOR, EPOCH, BATCH),
)
ITEM_EMBEDDINGS = Table(
    name="item_embeddings",
    row="an item's vector and the bundle that made it",
    key=("item_id", "bundle"),
    kind="newest wins",
    columns=(ITEM_ID, *_VECTOR, EPOCH, BATCH),
)

EXAMPLES = Table(
    name="examples",
    row="a labelled (user, item, position) with the features as of it",
    key=("request_id", "item_id"),
    kind="replaced by partition",
    partition_by=("day",),
    columns=(
        _c("request_id", "string", "the request or target event that the label belongs to"),
        USER_ID,
        ITEM_ID,
        _c("at", "timestamp", "moment of the request; features know only what lies strictly before it"),
        _c("label", "float", "1: the target behaviour followed; 0: it did not"),
        _c("behaviour", "string", "the target behaviour; NULL for a negative"),
        _c("draw_chance", "double", "chance that such a request draws the item as a negative; NULL: in a shown list"),
        _c("features", "array<float>", "values in the order of the feature names kept with the bundle"),
        _c("day", "date", "UTC day of `at`"),
    ),
)

RECOMMENDATIONS = Table(
    name="recommendations",
    row="a user's Top-N, best first",
    key=("user_id",),
    kind="newest wins",
    columns=(
        USER_ID,
        BUNDLE,
        _c("at", "timestamp", "moment that the list was made for"),
        _c("items", "array<struct<item_id: string, score: float, source: string, reason: string>>", "best first"),
        _c("made_by", "string", "`host/pid` of the process that made the list"),
        EPOCH,
        BATCH,
    ),
)

COVERAGE = Table(
    name="coverage",
    row="which events a day of a derived table covers",
    key=("table", "day"),
    kind="newest wins",
    columns=(
        _c("table", "string", "derived table"),
        _c("day", "date", "UTC day"),
        _c("events_version", "bigint", "Delta version of `events` that was read"),
        _c("events", "bigint", "number of events of that day"),
        _c("hash", "bigint", "order-free hash over their ids"),
        EPOCH,
        BATCH,
    ),
)

ALL: tuple[Table, ...] = (
    EVENTS,
    REJECTED_EVENTS,
    BATCHES,
    ITEMS,
    USER_PROFILES,
    ITEM_TILES,
    ITEM_FEATURES,
    USER_EMBEDDINGS,
    ITEM_EMBEDDINGS,
    EXAMPLES,
    RECOMMENDATIONS,
    COVERAGE,
)
