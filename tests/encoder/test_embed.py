import os
import socket
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recsys.config import EncoderSettings
from recsys.encoder.embed import READ, device_of, embed_batches, item_batch, load, newest
from recsys.encoder.trained import WEIGHTS, TrainedEncoder
from recsys.errors import BundleError, ConfigError
from recsys.features.history import at_end, from_arrow
from tests.encoder.samples import BEHAVIOURS, encoder_of

SMALL = EncoderSettings(dim=8, heads=2, length=4)
NOW = datetime(2026, 3, 2, 12, tzinfo=timezone.utc)
UTC = pa.timestamp("us", tz="UTC")
STEP = pa.struct(
    [
        pa.field("event_id", pa.string()),
        pa.field("event_time", UTC),
        pa.field("behaviour", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("price_minor", pa.int64()),
        pa.field("quantity", pa.int64()),
        pa.field("value", pa.float64()),
    ]
)
CPU = torch.device("cpu")


@pytest.fixture
def encoder() -> TrainedEncoder:
    return encoder_of(SMALL, "abcd")


def recent(word: str | None) -> list[dict[str, Any]] | None:
    if word is None:
        return None
    return [
        {
            "event_id": str(n),
            "event_time": NOW + timedelta(minutes=n),
            "behaviour": BEHAVIOURS[n % 3],
            "item_id": letter,
        }
        for n, letter in enumerate(word)
    ]


def side_by_side(lists: pa.ListArray) -> dict[str, pa.Array]:
    def column(name: str) -> pa.Array:
        rows = [None if row is None else [step[name] for step in row] for row in lists.to_pylist()]
        return pa.array(rows, pa.list_(STEP.field(name).type))

    return {name: column(name) for name in READ}


def batch_of(*words: str | None) -> pa.RecordBatch:
    size = len(words)
    columns = {
        "user_id": pa.array([f"u{n}" for n in range(size)]),
        **side_by_side(pa.array([recent(word) for word in words], pa.list_(STEP))),
        "as_of": pa.array([NOW + timedelta(hours=n) for n in range(size)], UTC),
    }
    return pa.RecordBatch.from_pydict(columns)


def test_each_batch_gives_its_rows_in_order_with_their_vectors(encoder: TrainedEncoder) -> None:
    words = ["abcdabcd", None, "z", "", "dcba"]
    whole = batch_of(*words)
    found = list(embed_batches(encoder, "b1", iter([whole, whole.slice(1, 3), whole.slice(0, 0)])))
    assert [batch.num_rows for batch in found] == [5, 3, 0]
    first = found[0]
    assert first.schema.names == ["user_id", "bundle", "vector", "as_of", "made_by"]
    assert first.column("user_id").to_pylist() == ["u0", "u1", "u2", "u3", "u4"]
    assert first.column("as_of").to_pylist() == whole.column("as_of").to_pylist()
    assert set(first.column("bundle").to_pylist()) == {"b1"}
    assert set(first.column("made_by").to_pylist()) == {f"{socket.gethostname()}/{os.getpid()}"}
    h = from_arrow(pa.array([recent(word) for word in words], pa.list_(STEP)), BEHAVIOURS)
    moments = np.asarray(whole.column("as_of").cast(pa.int64()))
    wanted = encoder.encode(h, at_end(h, moments))
    vectors = np.asarray(first.column("vector").to_pylist())
    np.testing.assert_allclose(vectors, wanted, atol=1e-6)
    assert [bool(vector.any()) for vector in vectors] == [True, False, True, False, True]
    np.testing.assert_allclose(np.asarray(found[1].column("vector").to_pylist()), wanted[1:4], atol=1e-6)
    assert found[1].column("user_id").to_pylist() == ["u1", "u2", "u3"]
    (more,) = embed_batches(encoder, "b1", iter([whole.append_column("batch", pa.array(range(5)))]))
    assert more.schema.names == [*first.schema.names, "batch"]
    assert more.column("batch").to_pylist() == [0, 1, 2, 3, 4]


def test_batches_are_read_one_at_a_time(encoder: TrainedEncoder) -> None:
    def endless() -> Any:
        while True:
            yield batch_of("ab")

    made = embed_batches(encoder, "b1", endless())
    assert [next(made).num_rows for _ in range(3)] == [1, 1, 1]


@given(st.lists(st.none() | st.lists(st.integers(0, 9), max_size=6), max_size=8), st.integers(1, 4), st.integers(0, 3))
def test_newest_keeps_the_last_of_each_list(lists: list[list[int] | None], length: int, skip: int) -> None:
    whole = [None if row is None else [step(n) for n in row] for row in [[9, 9], *lists]]
    columns = side_by_side(pa.array(whole, pa.list_(STEP)))
    batch = pa.RecordBatch.from_pydict(columns).slice(1).slice(skip)  # lists need not begin where their buffer does
    h = newest(batch, length, BEHAVIOURS)
    wanted = [(row or [])[-length:] for row in lists[skip:]]
    assert h.lengths.tolist() == [len(row) for row in wanted]
    flat = [n for row in wanted for n in row]
    assert [h.items[code] for code in h.item] == [str(n) for n in flat]
    assert h.behaviour.tolist() == [n % 3 for n in flat]
    assert h.time.tolist() == [n * 1_000_000 for n in flat]


def step(n: int) -> dict[str, Any]:
    moment = datetime(1970, 1, 1, 0, 0, n, tzinfo=timezone.utc)
    return {"event_id": "e", "event_time": moment, "behaviour": BEHAVIOURS[n % 3], "item_id": str(n)}


def test_items_carry_the_newest_moment_that_was_learned_from(encoder: TrainedEncoder) -> None:
    known = replace(encoder, newest=1_500_000)
    part = item_batch(known, "b7", 1, 3)
    assert part.schema.names == ["item_id", "bundle", "vector", "as_of", "made_by"]
    assert part.column("item_id").to_pylist() == ["b", "c"]
    assert part.column("as_of").to_pylist() == [datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=timezone.utc)] * 2
    np.testing.assert_array_equal(np.asarray(part.column("vector").to_pylist(), np.float32), known.item_vectors()[1:3])
    assert item_batch(known, "b7", 2, 2).num_rows == 0


def test_the_device_is_the_first_address() -> None:
    assert device_of([]) == CPU
    assert device_of(["2", "0"]) == torch.device("cuda:2")
    for address in ("GPU-5f3a", "-1", "", "1.0"):
        with pytest.raises(ConfigError, match="is no number; the discovery script must print device indices"):
            device_of([address])


def test_files_are_read_once_and_again_when_they_change(encoder: TrainedEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path)
    first = load(tmp_path, CPU)
    assert load(tmp_path, CPU) is first
    encoder_of(SMALL, "abcd", seed=1).save(tmp_path)
    os.utime(tmp_path / WEIGHTS, ns=(1, 1))
    again = load(tmp_path, CPU)
    assert again is not first
    assert abs(again.item_vectors() - first.item_vectors()).max() > 0.01


def test_what_cannot_be_loaded_is_named(
    encoder: TrainedEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BundleError, match=rf"'encoder\.safetensors' is missing in .* on {socket.gethostname()}"):
        load(tmp_path, CPU)
    encoder.save(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"was given cuda:1, but PyTorch .* sees no GPU on"):
        load(tmp_path, torch.device("cuda:1"))
