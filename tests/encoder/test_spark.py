from __future__ import annotations

import os
import shutil
import socket
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from recsys.config import EncoderSettings
from recsys.encoder import embed
from recsys.encoder import spark as encoder_spark
from recsys.encoder.spark import embed_items, embed_users, encoder_of_task, resolve
from recsys.encoder.trained import TrainedEncoder
from recsys.errors import BundleError, ConfigError
from recsys.features.history import at_end
from recsys.tables import ITEM_EMBEDDINGS, RECENT_FIELDS, RECENT_TYPE, USER_EMBEDDINGS, Table
from tests.encoder.samples import BEHAVIOURS, encoder_of, histories

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NOW = datetime(2026, 3, 2, 12, tzinfo=timezone.utc)
ITEMS = tuple(f"i{n:02}" for n in range(11))
SMALL = EncoderSettings(dim=8, heads=2, length=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "an encoder"
    encoder_of(SMALL, ITEMS).save(folder)
    return folder


def steps(user: int) -> list[tuple[str, int, int]]:
    random = np.random.default_rng(user)
    return [(f"i{random.integers(13):02}", n % 3, 60 * n) for n in range(0 if user % 5 == 0 else user)]


def written(table: Table) -> list[str]:
    return [name for name in table.names if name not in ("epoch", "batch")]


def check_makers(found: pa.Table) -> None:
    hosts, pids = zip(*(made.split("/") for made in found["made_by"].to_pylist()), strict=True)
    assert set(hosts) == {socket.gethostname()}
    assert str(os.getpid()) not in pids


def test_users_get_the_vectors_of_the_function_on_executors(spark: SparkSession, folder: Path) -> None:
    rows: list[tuple[Any, ...]] = []
    for user in range(24):
        events = [
            {
                "event_id": f"{n}",
                "event_time": NOW + timedelta(seconds=time),
                "behaviour": BEHAVIOURS[code],
                "item_id": item,
            }
            for n, (item, code, time) in enumerate(steps(user))
        ]
        flat = [tuple(event.get(name) for name in RECENT_FIELDS) for event in events]
        rows.append((f"u{user:02}", None if user == 5 else flat, NOW + timedelta(hours=user), "dropped", 2, user))
    schema = f"user_id string, recent {RECENT_TYPE}, as_of timestamp, more string, epoch bigint, batch bigint"
    profiles = spark.createDataFrame(rows, schema).repartition(3)
    found = embed_users(profiles, str(folder), "b1").toArrow().sort_by("user_id")
    assert tuple(found.schema.names) == USER_EMBEDDINGS.names
    assert list(zip(found["epoch"].to_pylist(), found["batch"].to_pylist(), strict=True)) == [r[4:] for r in rows]
    assert found["user_id"].to_pylist() == [row[0] for row in rows]
    assert found["as_of"].to_pylist() == [row[2] for row in rows]
    assert set(found["bundle"].to_pylist()) == {"b1"}
    h = histories([steps(user) for user in range(24)])
    wanted = TrainedEncoder.load(folder).encode(h, at_end(h, np.arange(24) * 3_600_000_000))
    np.testing.assert_allclose(np.asarray(found["vector"].to_pylist()), wanted, atol=1e-6)
    assert not wanted[[0, 5]].any()
    check_makers(found)


@pytest.mark.parametrize("parts", [1, 3])
def test_items_are_made_in_parts_that_leave_none_out(spark: SparkSession, folder: Path, parts: int) -> None:
    found = embed_items(spark, folder.as_uri(), "b1", parts).toArrow().sort_by("item_id")
    assert found.schema.names == written(ITEM_EMBEDDINGS)
    assert found["item_id"].to_pylist() == list(ITEMS)
    np.testing.assert_array_equal(
        np.asarray(found["vector"].to_pylist(), np.float32), TrainedEncoder.load(folder).item_vectors()
    )
    check_makers(found)


def test_a_shipped_folder_is_found_by_its_name(spark: SparkSession, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "shipped-encoder")
    spark.sparkContext.addFile(str(tmp_path / "shipped-encoder"), recursive=True)
    found = embed_items(spark, "shipped-encoder", "b1").toArrow()
    assert found.num_rows == len(ITEMS)


def test_a_folder_that_executors_do_not_see_is_named(spark: SparkSession) -> None:
    with pytest.raises(BundleError, match=r"No encoder folder at '/no/where'\. Use a path"):
        resolve("/no/where")
    with pytest.raises(BundleError, match=r"No encoder folder at 'never-shipped' and '.*never-shipped'"):
        resolve("never-shipped")
    assert spark is not None


@dataclass
class Task:
    """What a running task says of itself."""

    addresses: list[str] | None
    threads: int = 3
    seen: list[tuple[Path, torch.device]] = field(default_factory=list)

    def get(self) -> Task:
        return self

    def cpus(self) -> int:
        return self.threads

    def resources(self) -> dict[str, Task]:
        return {} if self.addresses is None else {"gpu": self}

    def load(self, folder: Path, device: torch.device) -> None:
        self.seen.append((folder, device))


@pytest.mark.parametrize(("addresses", "device"), [(["1"], "cuda:1"), (None, "cpu")])
def test_the_address_that_spark_assigned_reaches_the_device(
    folder: Path, monkeypatch: pytest.MonkeyPatch, addresses: list[str] | None, device: str
) -> None:
    task = Task(addresses)
    monkeypatch.setattr(encoder_spark, "TaskContext", task)
    monkeypatch.setattr(embed, "load", task.load)
    encoder_of_task(str(folder))
    assert task.seen == [(folder, torch.device(device))]
    assert torch.get_num_threads() == 3


def test_an_address_that_is_no_index_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_spark, "TaskContext", Task(["MIG-1"]))
    with pytest.raises(ConfigError, match="'MIG-1' is no number"):
        encoder_of_task(str(folder))


def test_a_driver_works_on_the_cpu(folder: Path) -> None:
    assert encoder_of_task(str(folder)).model.items.device.type == "cpu"
