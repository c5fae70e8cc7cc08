"""Open a source's files: every column as text, so that what cannot be typed is ours to explain, and nothing is lost."""

from __future__ import annotations

import json
import logging

from delta.tables import DeltaTable
from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, MapType, StringType, StructField, StructType

from recsys.errors import ConfigError, NoDataError, nearest
from recsys.events.fields import Format
from recsys.events.mapping import Mapping

CORRUPT = "_corrupt"
FILE = "_file"
LOOK = 1000
log = logging.getLogger(__name__)


def open_stream(spark: SparkSession, mapping: Mapping, folder: str, max_files: int) -> DataFrame:
    """The source as a stream of text columns, plus CORRUPT (a line that could not be read, else NULL) and FILE.

    Raises ConfigError where a mapped column is not in the files, NoDataError where there is no file.
    """
    if not folder:
        raise ConfigError("settings: source is empty: set it to the folder or URI of the source's files.")
    names = found_columns(spark, mapping.format, folder)
    for key, column in mapping.keyed():
        if not column or column in names:
            continue
        said = missing_column(mapping, key, column, folder, names)
        # A JSON object may leave out what it does not have; what makes an event an event must be there.
        if mapping.format.type != "json" or column in mapping.essential():
            raise ConfigError(said)
        log.warning(said)
    return read_rows(spark, mapping.format, folder, list(dict.fromkeys([*names, *mapping.columns()])), max_files)


def missing_column(mapping: Mapping, key: str, column: str, folder: str, names: list[str]) -> str:
    """The sentence for a mapped column that the files do not have."""
    return f"{mapping.where}: {key}: column {column!r} is not in the files of {folder!r}.{nearest(column, names)}"


def read_rows(spark: SparkSession, form: Format, folder: str, names: list[str], max_files: int | None) -> DataFrame:
    """Rows of `names` as text; a stream where `max_files` is given, else a batch."""
    text = StructType([StructField(name, StringType()) for name in [*names, CORRUPT]])
    if max_files:
        reader = spark.readStream.option("maxFilesPerTrigger", max_files)
    else:
        reader = spark.read  # type: ignore[assignment]
    if form.type == "delta":
        return _as_text(reader.format("delta").load(folder), names, F.lit(""))
    reader = reader.option("pathGlobFilter", form.pattern).option("recursiveFileLookup", "true")
    if form.type == "parquet":
        files = spark.read.option("pathGlobFilter", form.pattern).option("recursiveFileLookup", "true")
        return _as_text(
            reader.schema(files.parquet(folder).schema).parquet(folder), names, F.col("_metadata.file_path")
        )
    if form.type == "json":
        return _objects(reader.text(folder), text)
    csv = reader.schema(text).option("columnNameOfCorruptRecord", CORRUPT).option("header", form.header)
    # Columns are read by place: a file whose header differs must fail, not be misread.
    csv = csv.option("enforceSchema", not form.header or bool(form.columns)).option("sep", form.separator)
    rows = csv.option("encoding", form.encoding).option("escape", '"').csv(folder)
    return rows.select(*names, CORRUPT, F.col("_metadata.file_path").alias(FILE))


def _objects(lines: DataFrame, schema: StructType) -> DataFrame:
    options = {"columnNameOfCorruptRecord": CORRUPT}
    rows = lines.select("value", F.from_json("value", schema, options).alias("row"), "_metadata.file_path")
    # Of a list, Spark would read the first element and forget the others.
    corrupt = F.when(F.ltrim("value").startswith("["), F.col("value")).otherwise(F.col(f"row.{CORRUPT}"))
    names = [name for name in schema.names if name != CORRUPT]
    return rows.select(
        *(F.col("row").getField(n).alias(n) for n in names), corrupt.alias(CORRUPT), F.col("file_path").alias(FILE)
    )


def found_columns(spark: SparkSession, form: Format, folder: str) -> list[str]:
    """The columns that the source's files have, from the format's own words or a look at one file."""
    if form.type == "delta":
        if not DeltaTable.isDeltaTable(spark, folder):
            raise NoDataError(f"there is no Delta table at {folder!r}. Check the source.")
        return spark.read.format("delta").load(folder).columns
    path = _first_file(spark, form, folder)
    if form.columns:
        return list(form.columns)
    if form.type == "parquet":
        return spark.read.parquet(path).columns
    if form.type == "json":
        return _keys(spark, path)
    options = {"header": "true", "sep": form.separator, "encoding": form.encoding, "escape": '"'}
    return spark.read.options(**options).csv(path).columns


def _first_file(spark: SparkSession, form: Format, folder: str) -> str:
    """The first file by name that is not empty."""
    nothing = NoDataError(f"no file matches {form.pattern!r} under {folder!r}. Check the source and its pattern.")
    reader = spark.read.option("pathGlobFilter", form.pattern).option("recursiveFileLookup", "true")
    files = reader.format("binaryFile")
    try:
        first = files.load(folder).where(F.col("length") > 0).select("path").orderBy("path").first()
    except AnalysisException as error:
        if error.getCondition() != "PATH_NOT_FOUND":
            raise
        raise nothing from None
    if first is None:
        raise nothing
    return str(first["path"])


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


def _as_text(rows: DataFrame, names: list[str], file: Column) -> DataFrame:
    kinds = {field.name: field.dataType for field in rows.schema}
    nested = (ArrayType, MapType, StructType)
    text: list[Column] = [
        (F.to_json(name) if isinstance(kinds[name], nested) else F.col(name).cast("string")).alias(name)
        for name in names
    ]
    empty = F.lit(None).cast("string")
    return rows.select(*text, empty.alias(CORRUPT), file.alias(FILE))
