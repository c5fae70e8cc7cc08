from __future__ import annotations

from pathlib import Path

import pytest

from recsys.errors import ConfigError
from recsys.paths import is_local, local_folder


def test_a_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert local_folder("a/b") == tmp_path.resolve() / "a" / "b"
    assert local_folder(str(tmp_path / "c" / ".." / "d")) == tmp_path.resolve() / "d"


@pytest.mark.parametrize("name", ["plain", "with blank", "größe", "per%cent", "a+b"])
def test_a_file_uri_names_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path.resolve() / name
    assert local_folder(folder.as_uri()) == folder
    assert local_folder(f"file:{tmp_path.resolve()}/x") == tmp_path.resolve() / "x"  # as Hadoop writes it


@pytest.mark.parametrize("default", ["file", "hdfs"])
def test_a_uri_says_whether_it_is_local_and_a_path_lies_on_the_default(default: str) -> None:
    assert all(is_local(uri, default) for uri in ("file:/a", "file:///a%20b"))
    assert not any(is_local(uri, default) for uri in ("s3a://bucket/a", "hdfs://namenode:8020/a", "dbfs:/a"))
    assert [is_local(path, default) for path in ("a/b", "/a/b")] == [default == "file"] * 2


@pytest.mark.parametrize("uri", ["s3://bucket/models", "hdfs://namenode:8020/models", "abfss://a@b/c"])
def test_another_uri_is_refused_and_says_what_is_needed(uri: str) -> None:
    with pytest.raises(ConfigError, match=f"artifacts is '{uri}': set it to a folder on a file system that driver"):
        local_folder(uri)
