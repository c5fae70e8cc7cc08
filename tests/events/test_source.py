"""Every format gives the same text columns; what is not there is said."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pyspark.errors import StreamingQueryException
from pyspark.sql import SparkSession

from recsys.config import parse
from recsys.errors import ConfigError, NoDataError
from recsys.events.fields import Format
from recsys.events.mapping import Mapping
from recsys.events.source import CORRUPT, FILE, found_columns, open_stream, read_rows

ROWS = [("1", "a,b", "ü"), ("2", 'say "x"', "")]
NAMES = ["id", "item", "name"]
Cells = list[tuple[str | None, ...]]


def mapping(form: dict[str, Any], **more: Any) -> Mapping:
    base = {"name": "shop", "id": {"column": "id"}, "time": {"column": "id"}, "behaviour": {"constant": "view"}}
    return parse(Mapping, {**base, "item": {"column": "item"}, "format": form, **more}, "test")


def cells(spark: SparkSession, form: dict[str, Any], folder: Path) -> Cells:
    spec = Format.model_validate(form)
    rows = read_rows(spark, spec, str(folder), found_columns(spark, spec, str(folder)), None)
    assert [name for name in rows.columns if name not in NAMES] == [CORRUPT, FILE]
    return sorted(tuple(row) for row in rows.select(*NAMES).collect())


def csv(rows: Sequence[tuple[str, ...]], separator: str = ",") -> str:
    quoted = (separator.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows)
    return "\n".join(quoted) + "\n"


def known(empty: str | None) -> Cells:
    return [("1", "a,b", "ü"), ("2", 'say "x"', empty)]


def test_csv_with_and_without_header_and_gzipped(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with gzip.open(tmp_path / "a" / "a.csv.gz", "wt", encoding="utf-8") as file:
        file.write(csv([("id", "item", "name"), *ROWS]))
    (tmp_path / "a" / "other.txt").write_text("not to be read")
    assert cells(spark, {"type": "csv", "pattern": "*.csv.gz"}, tmp_path / "a") == known(None)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "b.csv").write_text(csv(ROWS, ";"), encoding="latin-1")
    form = {"type": "csv", "header": False, "columns": NAMES, "separator": ";", "encoding": "iso-8859-1"}
    assert cells(spark, form, tmp_path / "b") == known(None)


def test_json_parquet_and_delta(spark: SparkSession, tmp_path: Path) -> None:
    lines = [json.dumps(dict(zip(NAMES, row, strict=True))) for row in ROWS]
    (tmp_path / "j").mkdir()
    with gzip.open(tmp_path / "j" / "x.json.gz", "wt") as file:
        file.write("\n".join(lines))
    assert cells(spark, {"type": "json"}, tmp_path / "j") == known("")
    frame = spark.createDataFrame(
        [(int(i), item, name or None) for i, item, name in ROWS], "id int, item string, name string"
    )
    frame.coalesce(1).write.parquet(str(tmp_path / "p" / "below"))
    assert cells(spark, {"type": "parquet", "pattern": "*.parquet"}, tmp_path / "p") == known(None)
    frame.coalesce(1).write.format("delta").save(str(tmp_path / "d"))
    assert cells(spark, {"type": "delta"}, tmp_path / "d") == known(None)


def test_a_delta_table_and_lists_in_parquet_stream(spark: SparkSession, tmp_path: Path) -> None:
    for kind in ("delta", "parquet"):
        frame = spark.createDataFrame([("1", "a", ["x", "y"])], "id string, item string, name array<string>")
        frame.write.format(kind).save(str(tmp_path / kind))
        form = {"type": kind} | ({"pattern": "*.parquet"} if kind == "parquet" else {})
        rows = open_stream(spark, mapping(form, context={"n": "name"}), str(tmp_path / kind), 1)
        rows.writeStream.format("memory").queryName(kind).trigger(availableNow=True).start().awaitTermination()
        found = spark.table(kind).collect()
        assert [tuple(row[name] for name in NAMES) for row in found] == [("1", "a", '["x","y"]')]
        assert found[0][FILE].endswith(".parquet") == (kind == "parquet")


def test_lines_that_cannot_be_read_are_kept(spark: SparkSession, tmp_path: Path) -> None:
    lines = ['{"id": "1", "item": "a"}', "{oops", '[{"id": "2"}, {"id": "3"}]']
    (tmp_path / "x.json").write_text("\n".join(lines))
    rows = read_rows(spark, Format(type="json"), str(tmp_path), ["id", "item"], None)
    assert sorted(r[CORRUPT] or "" for r in rows.collect()) == ["", *sorted(lines[1:])]
    (tmp_path / "x.csv").write_text("id,item\n1,a\n2\n3,c,d\n")
    rows = read_rows(spark, Format(type="csv", pattern="*.csv"), str(tmp_path), ["id", "item"], None)
    assert [r[CORRUPT] for r in rows.collect()] == [None, "2", "3,c,d"]


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_missing_column_names_mapping_key_column_and_nearest(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    (tmp_path / "x").write_text("id,itm\n1,a\n" if kind == "csv" else '{"id": "1", "itm": "a"}')
    with pytest.raises(
        ConfigError, match=r"mapping 'shop': item\.column: column 'item' is not in .*Did you mean 'itm'\?"
    ):
        open_stream(spark, mapping({"type": kind}), str(tmp_path), 1)


def test_only_json_may_leave_out_what_no_event_needs(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("recsys"), "propagate", True)
    (tmp_path / "x.json").write_text('{"id": "1", "item": "a"}')
    rows = open_stream(spark, mapping({"type": "json"}, user={"column": "who"}), str(tmp_path), 1)
    assert "who" in rows.columns
    assert "user.column: column 'who' is not in" in caplog.text


def test_no_file_no_folder_no_table_and_no_source(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    for form, folder in (({"type": "csv"}, tmp_path), ({"type": "csv", "pattern": "*.x"}, tmp_path)):
        with pytest.raises(NoDataError, match="no file matches"):
            open_stream(spark, mapping(form), str(folder), 1)
    with pytest.raises(NoDataError, match=r"no file matches '\*' under .*nowhere"):
        open_stream(spark, mapping({"type": "json"}), str(tmp_path / "nowhere"), 1)
    with pytest.raises(NoDataError, match="no Delta table at"):
        open_stream(spark, mapping({"type": "delta"}), str(tmp_path), 1)
    with pytest.raises(ConfigError, match="source is empty"):
        open_stream(spark, mapping({"type": "json"}), "", 1)


def test_a_file_with_another_header_is_not_misread(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,item\n1,a\n")
    (tmp_path / "b.csv").write_text("item,id\nb,2\n")
    rows = open_stream(spark, mapping({"type": "csv"}), str(tmp_path), 9)
    query = rows.writeStream.format("memory").queryName("headers").trigger(availableNow=True).start()
    with pytest.raises(StreamingQueryException, match="header"):
        query.awaitTermination()
