"""Pseudonyms, event ids, and the exact count of input rows."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import AccumulatorParam, SparkContext, TaskContext
from pyspark.accumulators import Accumulator
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.functions import arrow_udf

from recsys.events.lists import ORDINAL, elements
from recsys.events.mapping import Mapping
from recsys.events.source import CORRUPT, FILE
from recsys.pseudonyms import pseudonymiser

Tally = dict[tuple[int, int], int]
MADE = ("user_id", "session_id", "query", "own_id", "line")  # what of a row is made in Python


class RowTally(AccumulatorParam[Tally]):
    """Rows by (batch, partition). A task that is run again overwrites its own count, so retries change nothing."""

    def zero(self, value: Tally) -> Tally:
        """No rows."""
        return {}

    def addInPlace(self, value1: Tally, value2: Tally) -> Tally:  # noqa: N802  (Spark's name)
        """Take over the newer counts."""
        value1.update(value2)
        return value1


def row_tally(context: SparkContext) -> Accumulator[Tally]:
    """A counter for `identified`."""
    return context.accumulator({}, RowTally())


def take(tally: Accumulator[Tally], batch: int) -> int:
    """The rows of a batch; forgets all batches up to it."""
    rows = sum(n for (b, _), n in tally.value.items() if b == batch)
    tally.value = {key: n for key, n in tally.value.items() if key[0] > batch}
    return rows


def identified(rows: DataFrame, mapping: Mapping, key_file: str, tally: Accumulator[Tally]) -> DataFrame:
    """Replace ids of persons by pseudonyms, add `event_id` and, for rows with reasons, `raw`; normalise the query.

    `rows` is the output of `parse.typed`. The raw ids do not outlive this function.
    """
    bad = F.size("reasons") > 0
    # The other rows' JSON is never made; and what only it is made of goes no further.
    rows = rows.withColumn("_open", F.when(bad, _open_json(mapping)))
    listed = F.size(elements(F.col(f"src_{mapping.expand.column}"), mapping.expand)) > 0 if mapping.expand else None
    rows = rows if listed is None else rows.withColumn("_listed", listed)
    wanted = {f"src_{name}" for name in (CORRUPT, mapping.id.column, *mapping.id.columns)}
    rows = rows.select(*(name for name in rows.columns if not name.startswith("src_") or name in wanted))
    # One function, as each takes its rows through a process of its own, with a copy of all their columns.
    done = arrow_udf(_in_python(mapping, key_file, tally), ", ".join(f"{name} string" for name in MADE))
    lines = F.when(bad, F.col(f"src_{CORRUPT}"))
    rows = rows.withColumn("_made", done("user_id", "session_id", "query", bad, F.unix_micros("ingest_time"), lines))
    rows = rows.withColumns({name: F.col(f"_made.{name}") for name in ("user_id", "session_id", "query")})
    digest = _digest(mapping)
    if mapping.id.equal_rows == "repetition":
        nth = arrow_udf(_occurrence, "int")(digest, F.col(FILE), F.col(ORDINAL))
        digest = F.when(nth > 1, F.concat_ws("/", digest, nth)).otherwise(digest)
    place = F.when(F.col(ORDINAL) > 0, F.concat_ws("#", digest, ORDINAL)).otherwise(digest)
    if mapping.expand and not mapping.request:
        rows = rows.withColumn("request_id", F.when(F.col("_listed"), digest))
    rows = rows.withColumn("event_id", F.when(bad, F.col("_made.own_id")).otherwise(place))
    raw = F.when(bad, F.coalesce("_made.line", _joined(F.col("_open"), _persons_json(mapping))))
    rows = rows.withColumn("raw", raw).withColumn("origin", F.lit(mapping.name))
    return rows.select(*(name for name in rows.columns if not name.startswith(("src_", "_"))))


def _digest(mapping: Mapping) -> Column:
    """The source's id where it has one; else 128 bits of SHA-256 over the columns, persons as pseudonyms."""
    if mapping.id.column:
        return F.col(f"src_{mapping.id.column}")
    persons = {}
    for name, text in (("session_id", mapping.session), ("user_id", mapping.user)):
        if text:
            persons[text.column] = F.col(name)
    parts = [F.coalesce(persons.get(c, F.col(f"src_{c}")), F.lit("\x00")) for c in mapping.id.columns]
    return F.substring(F.sha2(F.concat_ws("\x1f", *parts), 256), 1, 32)


def _open_json(mapping: Mapping) -> Column:
    """The source's columns that name no person."""
    names = [name for name in mapping.columns() if name not in mapping.persons()]
    return F.to_json(F.struct(*(F.col(f"src_{name}").alias(name) for name in names)))


def _persons_json(mapping: Mapping) -> Column:
    names = {text.column: our for our, text in (("session_id", mapping.session), ("user_id", mapping.user)) if text}
    return F.to_json(F.struct(*(F.col(our).alias(column) for column, our in names.items()))) if names else F.lit("{}")


def _joined(first: Column, second: Column) -> Column:
    """One JSON object of two flat ones."""
    both = F.concat(F.rtrim(first, F.lit("}")), F.lit(","), F.ltrim(second, F.lit("{")))
    return F.when(first == "{}", second).when(second == "{}", first).otherwise(both)


def normalised(text: pa.Array) -> pa.Array:
    """NFKC, lower case, single blanks, none at the ends."""
    return pc.utf8_lower(normalised_case(text))


def normalised_case(text: pa.Array) -> pa.Array:
    """NFKC, single blanks, none at the ends; letters keep their case."""
    encoded = text.dictionary_encode()
    # Not Arrow's utf8_normalize: as of 25.0 it never puts an accent and its letter together.
    clean = [t and " ".join(unicodedata.normalize("NFKC", t).split()) for t in encoded.dictionary.to_pylist()]
    return pa.array(clean, pa.string()).take(encoded.indices)


def _in_python(  # type: ignore[no-untyped-def]  # noqa: ANN202  (Spark reads the inner hints)
    mapping: Mapping, key_file: str, tally: Accumulator[Tally]
):
    """A function of (user id, session id, query, whether the row is unusable, batch time, unreadable line) to MADE."""
    hidden = _hidden_line(mapping, key_file)

    def done(chunks: Iterator[tuple[pa.Array, pa.Array, pa.Array, pa.Array, pa.Array, pa.Array]]) -> Iterator[pa.Array]:
        task, rows = TaskContext.get(), 0
        partition, batch = (task.partitionId(), task.getLocalProperty("streaming.sql.batchId")) if task else (0, None)
        for users, sessions, queries, bad, micros, lines in chunks:
            persons = (_hash_array(ids, key_file) for ids in (users, sessions))
            own = own_ids(bad, micros, partition, rows)
            yield pa.StructArray.from_arrays([*persons, normalised(queries), own, hidden(lines)], names=list(MADE))
            rows += len(users)
        if batch is not None:
            tally.add({(int(batch), partition): rows})

    return done


def _hash_array(ids: pa.Array, key_file: str) -> pa.Array:
    hashed = pseudonymiser(key_file)
    encoded = ids.dictionary_encode()
    names = pa.array([None if i is None else hashed(i) for i in encoded.dictionary.to_pylist()], pa.string())
    return names.take(encoded.indices)


def _hidden_line(mapping: Mapping, key_file: str) -> Callable[[pa.Array], pa.Array]:
    """A function that replaces what names a person in unreadable lines; NULL stays NULL."""
    json_lines = mapping.format.type == "json"

    def hidden(line: str) -> str:
        hashed = pseudonymiser(key_file)
        known = hide(line, mapping.persons(), hashed) if json_lines else None
        return f"{len(line)} characters, {hashed(line)}" if known is None else known

    def masked(lines: pa.Array) -> pa.Array:
        if lines.null_count == len(lines):
            return lines
        return pa.array([None if line is None else hidden(line) for line in lines.to_pylist()], pa.string())

    return masked


def hide(line: str, persons: Iterable[str], hashed: Callable[[str], str]) -> str | None:
    """A broken JSON line with the values of the fields `persons` replaced by their pseudonyms.

    None where a person may be named in a way that we cannot tell: the line is not to be kept.
    """
    if not line.lstrip().startswith("{"):
        return None
    for name in persons:
        named = re.findall(rf"(?<!\w){re.escape(name)}(?!\w)", line)
        field = re.compile(
            rf'("{re.escape(name)}"\s*:\s*)(?:"((?:[^"\\]|\\.)*)("|\\?$)|([^"\s,}}\[{{][^,}}\s]*)|(?=,|$))'
        )
        line, found = field.subn(lambda m: _hidden(m, hashed), line)
        if found < len(named):
            return None
    return line


def _hidden(found: re.Match[str], hashed: Callable[[str], str]) -> str:
    before, text, end, bare = found.groups()
    value = bare if text is None else text
    quote = "" if text is None else '"'
    return f"{before}{quote}{hashed(value)}{end or ''}" if value else str(found[0])


def own_ids(bad: pa.Array, micros: pa.Array, partition: int, before: int) -> pa.Array:
    """An id for each bad row: batch time, partition, place in the partition (`before` rows came earlier); else NULL.

    An unusable row must not be dropped as somebody's duplicate, and a retry must give it the same id.
    """
    out: list[str | None] = [None] * len(bad)
    for row in np.flatnonzero(bad.to_numpy(zero_copy_only=False)):
        out[row] = f"rejected/{micros[row].as_py()}/{partition}/{before + row + 1}"
    return pa.array(out, pa.string())


def _occurrence(digests: Iterator[tuple[pa.Array, pa.Array, pa.Array]]) -> Iterator[pa.Array]:
    """How many equal rows of the same file came before, plus one; elements of a row's list count with their row.

    A file is read by one task unless it is split.
    """
    seen: Counter[tuple[str, str]] = Counter()
    for ids, files, ordinals in digests:
        out = []
        for *key, ordinal in zip(ids.to_pylist(), files.to_pylist(), ordinals.to_pylist(), strict=True):
            seen[key[0], key[1]] += ordinal == 0
            out.append(seen[key[0], key[1]])
        yield pa.array(out, pa.int32())
