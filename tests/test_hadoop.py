"""Single files, on the local file system."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from recsys.hadoop import java_class, place


def test_a_folder_its_files_and_what_is_not_there(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "word").write_text("Straße\n", encoding="utf-8")
    for uri in (str(tmp_path), tmp_path.as_uri()):
        folder = place(spark, uri) / "a b"
        assert folder.exists()
        assert folder.names() == ["word"]
        assert (folder / "word").text() == "Straße\n"
        assert not (folder / "none").exists()
        assert (folder / "none").text() is None
        assert (folder / "none").names() is None


def test_a_class_is_found_by_its_full_name(spark: SparkSession) -> None:
    assert java_class(spark, "java.lang.Integer").parseInt("7") == 7
