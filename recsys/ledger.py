"""The tables that keep account of the others: what each batch did, what is covered, what was found to differ."""

from __future__ import annotations

from recsys.schema import Table, column

EPOCH = column("epoch", "bigint", "grows with each new checkpoint; first half of the row's version")
BATCH = column("batch", "bigint", "micro-batch that wrote the row; second half of its version")
COMMIT = (EPOCH, BATCH)

BATCHES = Table(
    name="batches",
    row="what one batch did to all tables; written last, so it is the commit point",
    key=("query", "epoch", "batch"),
    kind="append",
    columns=(
        column("query", "string", "the streaming query or job"),
        *COMMIT,
        column("versions", "map<string,bigint>", "Delta version of each table that the batch wrote"),
        column("rows_in", "bigint", "input rows"),
        column("accepted", "bigint", "rows that became events"),
        column("duplicate", "bigint", "rows whose event was known already"),
        column("rejected", "bigint", "rows set aside with a reason"),
        column("started_at", "timestamp", "when the batch began"),
        column("committed_at", "timestamp", "when this row was written"),
    ),
)

COVERAGE = Table(
    name="coverage",
    row="which events a day of a derived table covers",
    key=("table", "day"),
    kind="newest wins",
    columns=(
        column("table", "string", "derived table"),
        column("day", "date", "UTC day"),
        column("events_version", "bigint", "Delta version of `events` that was read"),
        column("events", "bigint", "number of events that the day's windows reach"),
        column("older", "bigint", "number of events before these, of which items' first ones matter"),
        column("base", "bigint", "hash of the definitions, and of the catalogue's prices up to the day"),
        column("whole", "bigint", "batch that last wrote the day whole; readers see no older rows of it"),
        column("patches", "bigint", "commits since then, each of the items that had changed"),
        column(
            "everyone",
            "array<struct<hour: timestamp, counts: map<string,bigint>>>",
            "for each hour, by the name of a share, the behaviours of all items that it is a share of",
        ),
        *COMMIT,
    ),
)

PARITY = Table(
    name="parity",
    row="a stored feature beside the same computed anew",
    key=("day", "table", "feature"),
    kind="newest wins",
    columns=(
        column("day", "date", "business day of the night"),
        column("table", "string", "table of the feature"),
        column("feature", "string", "name"),
        column("rows", "bigint", "rows that were compared"),
        column("stale", "bigint", "rows that lack events which `events` has; not compared"),
        column("mismatch", "bigint", "rows with two values that differ"),
        column("missing", "bigint", "rows where only the value computed anew is known"),
        column("extra", "bigint", "rows where only the stored value is known"),
        *(
            column(f"{kind}_rate", "double", f"{kind} as a share of the compared rows; NULL: none was compared")
            for kind in ("mismatch", "missing", "extra")
        ),
        *COMMIT,
    ),
)
