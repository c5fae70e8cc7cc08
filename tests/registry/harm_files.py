"""Harm to a model's files: links, special files, sizes, and content that is not what its name says."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from recsys.registry.manifest import MANIFEST_BYTES, checksum
from tests.registry.harm import ITEMS, PICKLE, RANKER, Bomb, Harm, also, data, raw, seal

# Paths, links, special files


def climbing_manifest(model: Path) -> None:
    also(model.parent, "x.json", "{}")
    seal(model, files={"../../../x.json": {"size": 2, "sha256": checksum(model.parent / "x.json")}})


def link_to(path: str) -> Harm:
    """What lies at the path inside the model is moved out of it, and a link takes its place."""

    def harm(model: Path) -> None:
        here = model / path.replace("BUNDLE", f"data/{data(model).name}")
        here.rename(model.parent / "outside")
        here.symlink_to(model.parent / "outside")

    return harm


def link_to_endless(model: Path) -> None:
    (data(model) / ITEMS).unlink()
    (data(model) / ITEMS).symlink_to("/dev/zero")


def pipe(model: Path) -> None:
    (data(model) / ITEMS).unlink()
    os.mkfifo(data(model) / ITEMS)


def listening(model: Path) -> None:
    here = Path.cwd()
    os.chdir(model)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("registered_model_meta")
    finally:
        os.chdir(here)


# Sizes


def sparse_terabyte(model: Path) -> None:
    with (data(model) / ITEMS).open("r+b") as file:
        file.truncate(1 << 40)


def many_files(model: Path) -> None:
    for number in range(200):
        also(data(model), f"x{number}.json", "{}")
    seal(model)


def huge_manifest(model: Path) -> None:
    with (data(model) / "manifest.json").open("r+b") as file:
        file.truncate(MANIFEST_BYTES + 1)


def manifest_key_twice(model: Path) -> None:
    text = (data(model) / "manifest.json").read_text()
    (data(model) / "manifest.json").write_text(text.replace("{", '{"format": 1,', 1))


def wide_encoder(model: Path) -> None:
    """A description of a few bytes that asks for terabytes."""
    path = data(model) / "encoder" / "encoder.json"
    told = json.loads(path.read_text())
    told["settings"] |= {"dim": 1 << 20, "heads": 1, "blocks": 1 << 20}
    path.write_text(json.dumps(told))
    seal(model)


def unfolding_parquet(model: Path) -> None:
    pq.write_table(pa.table({"item_id": pa.nulls(3_000_000, pa.string())}), data(model) / ITEMS)
    seal(model)


def pickled_extension_type(model: Path) -> None:
    """Arrow before 14.0.1 unpickled it when the schema was read."""
    told = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": PICKLE}
    field = pa.field("item_id", pa.string(), metadata=told)
    pq.write_table(pa.table([pa.array(["a"])], schema=pa.schema([field])), data(model) / ITEMS)
    seal(model)


def object_array(model: Path) -> None:
    np.save(data(model) / "x.npy", np.asarray([Bomb()], dtype=object), allow_pickle=True)
    seal(model)


def torch_archive(model: Path) -> None:
    torch.save(Bomb(), data(model) / RANKER)
    seal(model)


def polyglot(model: Path) -> None:
    """Sound tensors, followed by a pickle."""
    path = data(model) / RANKER
    path.write_bytes(path.read_bytes() + PICKLE)
    seal(model)


def transposed(model: Path) -> None:
    path = data(model) / RANKER
    text = path.read_bytes()
    length = int.from_bytes(text[:8], "little")
    header = json.loads(text[8 : 8 + length])
    name = next(name for name, told in header.items() if len(set(told.get("shape", []))) == 2)
    header[name]["shape"] = header[name]["shape"][::-1]
    path.write_bytes(raw(header, text[8 + length :]))
    seal(model)


def changed_byte(model: Path) -> None:
    text = bytearray((data(model) / RANKER).read_bytes())
    text[-1] ^= 1
    (data(model) / RANKER).write_bytes(text)


def second_bundle(model: Path) -> None:
    also(model, "data/other/manifest.json", "{}")
