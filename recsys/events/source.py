"""Open a source's files: every column as text, so that what cannot be typed is ours to explain, and nothing is lost."""

from __future__ import annotations

import json
import logging

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from recsys.errors import ConfigError, NoDataError, nearest
from recsys.events.mapping import Format, Mapping

CORRUPT = "_corrupt"
FILE = "_file"
LOOK = 1000
log = logging.getLogger(__name__)


def open_stream(spark: SparkSession, mapping: Mapping, folder: str, max_files: int) -> DataFrame:
    """The source as a stream of text columns, plus CORRUPT (a line that could not be read, else NULL) and FILE.

    Raises ConfigError where a mapped column is not in the files, NoDataError where there is no file.
    """
    names = found_columns(spark, mapping.format, folder)
    for column in mapping.columns():
        if column in names:
            continue
        said = f"mapping {mapping.name!r}: column {column!r} is not in {folder!r}.{nearest(column, names)}"
        # A JSON object may leave out what it does not have; what makes an event an event must be there.
        if mapping.format.type != "json" or column in mapping.essential():
            raise ConfigError(said)
        log.warning(said)
    return read_rows(spark, mapping.format, folder, list(dict.fromkeys([*names, *mapping.columns()])), max_files)


def read_rows(spark: SparkSession, form: Format, folder: str, names: list[str], max_files: int | None) -> DataFrame:
    """Rows of `names` as text; a stream where `max_files` is given, else a batch."""
    text = StructType([StructField(name, StringType()) for name in [*names, CORRUPT]])
    if max_files:
        reader = spark.readStream.option("maxFilesPerTrigger", max_files)
    else:
        reader = spark.read  # type: ignore[assignment]
    if form.type == "delta":
        return _as_text(reader.format("delta").load(folder), names)
    reader = reader.option("pathGlobFilter", form.pattern).option("recursiveFileLookup", "true")
    if form.type == "parquet":
        schema = spark.read.option("pathGlobFilter", form.pattern).parquet(folder).schema
        return _as_text(reader.schema(schema).parquet(folder), names)
    if form.type == "json":
        lines = reader.text(folder).select("value", F.col("_metadata.file_path").alias(FILE))
        options = {"columnNameOfCorruptRecord": CORRUPT}
        return lines.select(F.from_json("value", text, options).alias("row"), FILE).select("row.*", FILE)
    csv = reader.schema(text).option("columnNameOfCorruptRecord", CORRUPT).option("header", form.header)
    rows = csv.option("sep", form.separator).option("encoding", form.encoding).option("escape", '"').csv(folder)
    return rows.select(*names, CORRUPT, F.col("_metadata.file_path").alias(FILE))


def found_columns(spark: SparkSession, form: Format, folder: str) -> list[str]:
    """The columns that the source's files have, from the format's own words or a look at one file."""
    if form.columns:
        return list(form.columns)
    if form.type == "delta":
        return spark.read.format("delta").load(folder).columns
    reader = spark.read.option("pathGlobFilter", form.pattern).option("recursiveFileLookup", "true")
    files = reader.format("binaryFile").load(folder).where(F.col("length") > 0).select("path", "length")
    first = files.orderBy("path").first()
    if first is None:
        raise NoDataError(f"no file matches {form.pattern!r} under {folder!r}. Check the source and its pattern.")
    path = first["path"]
    if form.type == "parquet":
        return spark.read.parquet(path).columns
    if form.type == "json":
        return _keys(spark, path)
    if not form.header:
        raise ConfigError("format.columns is missing: a csv without header needs its column names.")
    options = {"header": "true", "sep": form.separator, "encoding": form.encoding}
    return spark.read.options(**options).csv(path).columns


def _keys(spark: SparkSession, path: str) -> list[str]:
    """The keys of a JSON file's first LOOK lines; those that are no objects show later, as unreadable rows."""
    keys: dict[str, None] = {}
    for line in spark.read.text(path).head(LOOK):
        try:
            found = json.loads(line["value"])
        except ValueError:
            continue
        keys |= dict.fromkeys(found if isinstance(found, dict) else ())
    return list(keys)


def _as_text(rows: DataFrame, names: list[str]) -> DataFrame:
    text: list[Column] = [F.col(name).cast("string").alias(name) for name in names]
    empty = F.lit(None).cast("string")
    return rows.select(*text, empty.alias(CORRUPT), F.lit("").alias(FILE))
