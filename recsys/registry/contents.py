"""What a file of a bundle holds, checked by its kind before anything reads it for use: JSON, tensors, Parquet."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.errors import BundleError
from recsys.registry.tensors import Tensor, read_tensors, unique

MAGIC = b"PAR1"
PLAIN = (pa.types.is_string, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating)


def check_contents(path: Path, most_bytes: int) -> dict[str, Tensor]:
    """Check the file by its suffix; the tensors of a safetensors file are returned, for other kinds nothing.

    Raises BundleError: JSON that is none, nests too deep or has a key twice; tensors as in `read_tensors`; Parquet that
    is none, has columns other than text, numbers and truth values, or unfolds to more than `most_bytes`.
    """
    if path.suffix == ".safetensors":
        return read_tensors(path)
    if path.suffix == ".json":
        _check_json(path)
    if path.suffix == ".parquet":
        _check_parquet(path, most_bytes)
    return {}


def _check_json(path: Path) -> None:
    try:
        json.loads(path.read_bytes(), object_pairs_hook=unique)
    except BundleError as error:
        raise BundleError(f"File {path.name!r} {error}.") from None
    except (ValueError, RecursionError) as error:
        raise BundleError(f"File {path.name!r} is no JSON: {error}.") from None


def _check_parquet(path: Path, most_bytes: int) -> None:
    size = path.stat().st_size
    with path.open("rb") as stream:
        if stream.read(4) != MAGIC:
            raise BundleError(f"File {path.name!r} is no Parquet file: it begins otherwise.")
    try:
        told = pq.read_metadata(path)
        fields = list(told.schema.to_arrow_schema())
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BundleError(f"File {path.name!r} is no Parquet file: {error}.") from None
    for field in fields:
        # An extension type, which older Arrow versions unpickle, leaves its name in the metadata or is no plain type.
        if (field.metadata or {}).get(b"ARROW:extension:name") or not any(plain(field.type) for plain in PLAIN):
            raise BundleError(f"File {path.name!r}: column {field.name!r} is no text, number or truth value.")
    unfolded = sum(told.row_group(place).total_byte_size for place in range(told.num_row_groups))
    # Item ids are unique, so that a row takes a byte at least.
    if told.num_rows > size or unfolded > most_bytes:
        raise BundleError(f"File {path.name!r} unfolds {size} bytes to {told.num_rows} rows of {unfolded} bytes.")
