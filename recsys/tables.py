"""Every table: columns with their meaning, key, kind, layout, and which columns point at a person. No Spark in here.

Times are UTC with microseconds. Prices are integers in minor units (cents), so that sums do not depend on their order.
"""

from __future__ import annotations

from recsys.ledger import BATCHES as BATCHES
from recsys.ledger import COMMIT as COMMIT
from recsys.ledger import COVERAGE as COVERAGE
from recsys.ledger import PARITY as PARITY
from recsys.schema import Column as Column
from recsys.schema import Table as Table
from recsys.schema import column

USER_ID = column("user_id", "string", "keyed pseudonym of the user; NULL: anonymous", person=True)
ITEM_ID = column("item_id", "string", "the source's item id")
BUNDLE = column("bundle", "string", "id of the model bundle that made the row")

_BEHAVIOUR = (
    column("event_id", "string", "the source's id of the event, else a hash over the columns that the mapping names"),
    column("event_time", "timestamp", "when the user did it"),
    column("behaviour", "string", "behaviour type, as declared in the settings or the mapping"),
    column("item_id", "string", "item concerned; NULL for a search"),
    column("price_minor", "bigint", "price of one piece in minor units; NULL: unknown"),
    column("quantity", "bigint", "pieces; 1 where the source has none"),
    column("value", "double", "the behaviour's own value: a rating, seconds watched; NULL: none"),
)
_ID, _TIME, *_REST = _BEHAVIOUR
_RECENT = (_TIME, _ID, *_REST)  # in the order by which behaviours are sorted
RECENT_FIELDS = tuple(column.name for column in _RECENT)
RECENT_TYPE = "array<struct<" + ", ".join(f"{c.name}: {c.type}" for c in _RECENT) + ">>"

EVENTS = Table(
    name="events",
    row="a clean behaviour",
    key=("event_id",),
    kind="append",
    partition_by=("event_date",),
    skip_by=("event_time", "known_at", "ingest_time"),
    columns=(
        *_BEHAVIOUR,
        USER_ID,
        column("session_id", "string", "pseudonym of the source's session; NULL: none", person=True),
        column("query", "string", "search text, NFKC, lower case, single blanks"),
        column("request_id", "string", "the list that the item was shown in; NULL: none"),
        column("position", "int", "place in that list, from 1"),
        column("context", "map<string,string>", "further columns that the mapping keeps: device, country"),
        column("imputed", "array<string>", "columns whose value was set by a missing-value or outlier policy"),
        column("known_at", "timestamp", "when the pipeline could first know it; written once"),
        column("ingest_time", "timestamp", "start of the micro-batch that accepted it"),
        column("origin", "string", "the source's name in its mapping"),
        column("event_date", "date", "UTC day of event_time"),
    ),
)

REJECTED_EVENTS = Table(
    name="rejected_events",
    row="an input that could not be used",
    key=(),
    kind="append",
    columns=(
        column("reasons", "array<string>", "every reason, as `code` or `code:column`"),
        column("raw", "string", "the input as JSON, ids of persons replaced by pseudonyms", person=True),
        column("origin", "string", "the source's name in its mapping"),
        column("ingest_time", "timestamp", "start of the micro-batch that rejected it"),
    ),
)

ITEMS = Table(
    name="items",
    row="a catalogue item during a span of time",
    key=("item_id", "valid_from"),
    kind="slowly changing",
    columns=(
        ITEM_ID,
        column("category", "string", "category path, `a|b`; NULL: unknown"),
        column("price_minor", "bigint", "list price in minor units; NULL: unknown"),
        column("title", "string", "title, NFKC; NULL: unknown"),
        column("description", "string", "further text; NULL: none"),
        column("sales_volume", "bigint", "pieces sold so far"),
        column("in_stock", "boolean", "may be recommended"),
        column("vector", "array<float>", "precomputed image or other vector; NULL: none"),
        column("valid_from", "timestamp", "first moment of the span, closed"),
        column("valid_to", "timestamp", "end of the span, open; NULL: still valid"),
    ),
)

USER_PROFILES = Table(
    name="user_profiles",
    row="a user's state as of the newest event; the features package adds its columns",
    key=("user_id",),
    kind="newest wins",
    whole_epochs=True,
    skip_by=("user_id", *(one.name for one in COMMIT), "as_of"),
    columns=(
        USER_ID,
        *COMMIT,
        column("as_of", "timestamp", "time of the user's newest event; windows are true then and stale after"),
        column("recent", RECENT_TYPE, "last K engaged behaviours in total order (event_time, event_id), oldest first"),
        column("counts", "map<string,bigint>", "lifetime number of events by behaviour, impressions included"),
        column("spend_minor", "bigint", "lifetime sum of price x quantity over purchases, minor units"),
        column("first_time", "timestamp", "time of the user's first event"),
        column("truncated", "boolean", "the user has more engaged behaviours than `recent` holds"),
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
        column("behaviour", "string", "behaviour type"),
        column("tile", "timestamp", "first moment of the tile, closed"),
        column("events", "bigint", "number of events"),
        column("pieces", "bigint", "sum of quantities"),
        column("revenue_minor", "bigint", "sum of price x quantity, minor units"),
        *COMMIT,
        column("tile_date", "date", "UTC day of the tile"),
    ),
)

SKETCH_LG_K = 12
SKETCH_ERROR = "relative standard error 1.6%"  # 1.04 / sqrt(2 ** SKETCH_LG_K): Flajolet et al. 2007, HyperLogLog
USERS_SKETCH = column(
    "users",
    "binary",
    f"HyperLogLog sketch (DataSketches, lgK {SKETCH_LG_K}) of the known users; NULL: no feature asked for it then",
)


def tiles_table(users: bool) -> Table:
    """`item_tiles`, with sketches of users where a feature asks for them."""
    return ITEM_TILES.extended((USERS_SKETCH,) if users else ())


ITEM_FEATURES = Table(
    name="item_features",
    row="an item's features at the start of an hour; the features package adds its columns",
    key=("item_id", "hour"),
    kind="newest wins",
    partition_by=("day",),
    columns=(
        ITEM_ID,
        column("hour", "timestamp", "moment the features are true at; windows are [hour - w, hour)"),
        column("day", "date", "UTC day of hour"),
        *COMMIT,
    ),
)

_VECTOR = (
    BUNDLE,
    column("vector", "array<float>", "unit-length embedding, D values"),
    column("as_of", "timestamp", "newest event that the vector knows"),
    column("made_by", "string", "`host/pid` of the process that ran the model"),
)
USER_EMBEDDINGS = Table(
    name="user_embeddings",
    row="a user's vector and the bundle that made it",
    key=("user_id", "bundle"),
    kind="newest wins",
    columns=(USER_ID, *_VECTOR, *COMMIT),
)
ITEM_EMBEDDINGS = Table(
    name="item_embeddings",
    row="an item's vector and the bundle that made it",
    key=("item_id", "bundle"),
    kind="newest wins",
    columns=(ITEM_ID, *_VECTOR, *COMMIT),
)

EXAMPLES = Table(
    name="examples",
    row="a labelled (user, item, moment) with the features as of it",
    key=("request_id", "item_id"),
    kind="replaced by partition",
    partition_by=("day",),
    columns=(
        column(
            "request_id", "string", "the target event that the label belongs to, or `list:` and the shown list's id"
        ),
        USER_ID,
        ITEM_ID,
        column("at", "timestamp", "moment of the request; features know only what lies strictly before it"),
        column("label", "float", "1: the target behaviour followed; 0: it did not"),
        column("behaviour", "string", "the target behaviour, of several the newest; NULL for a negative"),
        column("outcomes", "array<string>", "all target behaviours that followed; empty for a negative"),
        column("draw_chance", "double", "chance that such a request draws it as a negative; NULL: in a shown list"),
        column(
            "position", "int", "place in the shown list, from 1, at the item's first impression; NULL: unknown, no list"
        ),
        column("features", "array<float>", "values in the order of the feature names kept with the bundle"),
        column("day", "date", "UTC day of `at`"),
        column(
            "recent_similarity",
            "array<float>",
            "cosine of the item with each of the newest ranker.attention behaviours, the newest last; NaN: it does not "
            "count; NULL, as in the two others: no attention",
        ),
        column("recent_behaviour", "array<tinyint>", "their types, codes + 1"),
        column("recent_gap", "array<float>", "ln(1 + seconds) from each to `at`"),
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
        column("at", "timestamp", "moment that the list was made for"),
        column("items", "array<struct<item_id: string, score: float, source: string, reason: string>>", "best first"),
        column("made_by", "string", "`host/pid` of the process that made the list"),
        *COMMIT,
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
    PARITY,
)
