from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pytest

from recsys.config import RankerSettings, Settings
from recsys.errors import ConfigError, NoDataError, RefusedError
from recsys.ranking.pinned import Pinned, PinnedStep, fingerprint, folder_hash, read_pinned, rests_on

NOON = datetime(2020, 5, 1, 12, tzinfo=timezone.utc)
ROWS = pa.table(
    {
        "request_id": pa.array(["a", "bc", None]),
        "at": pa.array([NOON] * 3, pa.timestamp("us", tz="UTC")),
        "draw_chance": pa.array([0.5, None, 0.0]),
        "features": pa.array([[1.0, float("nan")], [2.0, 3.0], [4.0, 5.0]], pa.list_(pa.float32())),
    }
)
SETTINGS = rests_on(Settings(), {"spark.x": "4"})


def pinned(folder: Path) -> Pinned:
    (folder / "encoder").mkdir()
    (folder / "encoder" / "weights").write_bytes(b"1")
    own = PinnedStep(
        start=str(folder / "encoder"),
        since=NOON,
        until=NOON + timedelta(days=1),
        encoder=folder_hash(folder / "encoder"),
    )
    return Pinned(tables={"events": 3}, steps=(own,), settings=SETTINGS, rows=3, sha256=fingerprint(ROWS))


def test_attention_is_one_of_the_settings_and_without_it_nothing_changed() -> None:
    assert not [name for name in SETTINGS if "attention" in name]
    attending = rests_on(Settings(ranker=RankerSettings(attention=5)), {"spark.x": "4"})
    assert attending == SETTINGS | {"ranker.attention": "5"}


def test_every_change_of_a_value_changes_the_hash() -> None:
    changed = {
        "request_id": pa.array(["ab", "c", None]),
        "at": pa.array([NOON, NOON, NOON + timedelta(microseconds=1)], pa.timestamp("us", tz="UTC")),
        "draw_chance": pa.array([0.5, 0.0, 0.0]),
        "features": pa.array([[1.0], [float("nan"), 2.0, 3.0], [4.0, 5.0]], pa.list_(pa.float32())),
    }
    every = [ROWS, *(ROWS.set_column(ROWS.column_names.index(n), n, c) for n, c in changed.items())]
    every += [
        ROWS.rename_columns(["request", *ROWS.column_names[1:]]),
        ROWS.slice(0, 2),
        ROWS.take(pa.array([1, 0, 2])),
    ]
    assert len({fingerprint(rows) for rows in every}) == len(every)
    chunks = pa.concat_tables([ROWS.slice(0, 1), ROWS.slice(1)])
    assert fingerprint(chunks) == fingerprint(ROWS) == fingerprint(pa.concat_tables([ROWS, ROWS]).slice(3))


def test_what_is_pinned_is_read_again(tmp_path: Path) -> None:
    made = pinned(tmp_path)
    made.save(tmp_path / "deeper" / "day.json")
    assert read_pinned(tmp_path / "deeper" / "day.json") == made
    made.require(SETTINGS)
    made.agree(made)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "day.json").write_text("not it")
    with pytest.raises(ConfigError, match=r"does not exist. In its folder: day.json"):
        read_pinned(tmp_path / "other.json")
    with pytest.raises(ConfigError, match="is no JSON"):
        read_pinned(tmp_path / "day.json")
    (tmp_path / "day.json").write_text("{}")
    with pytest.raises(ConfigError, match="tables"):
        read_pinned(tmp_path / "day.json")


def test_other_settings_encoders_and_examples_are_refused(tmp_path: Path) -> None:
    made = pinned(tmp_path)
    with pytest.raises(RefusedError, match=r"ranker.near = 4, and now it is 5"):
        made.require(rests_on(Settings(ranker=RankerSettings(near=5)), {"spark.x": "4"}))
    with pytest.raises(RefusedError, match=r"spark.x = 4, and now it is None"):
        made.require(rests_on(Settings(ranker=RankerSettings(epochs=1)), {}))  # epochs make no examples
    with pytest.raises(RefusedError, match="not the pinned ones: 3 rows of SHA-256 other"):
        made.agree(made.model_copy(update={"sha256": "other"}))
    (tmp_path / "encoder" / "weights").write_bytes(b"2")
    with pytest.raises(RefusedError, match="is not the pinned one"):
        made.require(SETTINGS)
    (tmp_path / "encoder" / "weights").unlink()
    (tmp_path / "encoder").rmdir()
    with pytest.raises(NoDataError, match="is gone"):
        made.require(SETTINGS)
