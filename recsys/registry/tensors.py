"""What a safetensors file says it holds, read without trusting it: no tensor is touched before its header is sound.

The file: 8 bytes, the header's length N (little endian); N bytes of JSON, name -> dtype, shape, [begin, end) in what
follows; the tensors' bytes, without gaps, up to the end of the file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from recsys.errors import BundleError

HEADER_BYTES = 16 << 20  # a longer header is no header
MOST_TENSORS = 4096
ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
Whole = Annotated[int, Field(ge=0, lt=1 << 48, strict=True)]


class Tensor(BaseModel):
    """A tensor's type and size: `F32`, (rows, columns)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: str
    shape: Annotated[tuple[Whole, ...], Field(max_length=8)]

    @property
    def size(self) -> int:
        """Bytes that it takes. BundleError: a type that is not known."""
        if self.dtype not in ITEM_BYTES:
            raise BundleError(f"has dtype {self.dtype!r}; known are {', '.join(ITEM_BYTES)}")
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


class Placed(Tensor):
    """A tensor and where its bytes lie."""

    data_offsets: tuple[Whole, Whole]


HEADER = TypeAdapter(dict[str, Placed])


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Name -> type and shape of every tensor of a safetensors file, whose bytes are not read.

    Raises BundleError, which names the fault: a header that is too long, damaged or lists a name twice; an unknown
    type; a shape that does not fit its bytes; tensors that overlap, leave a gap or end elsewhere than the file.
    """
    try:
        header, rest = _header(path)
        return _checked(header, rest)
    except BundleError as error:
        raise BundleError(f"Tensor file {path.name!r} {error}.") from None


def unique(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """For `json.loads(object_pairs_hook=...)`. BundleError: a key that stands twice, which readers take differently."""
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1)
        raise BundleError(f"has the key {twice!r} twice")
    return found


def _header(path: Path) -> tuple[object, int]:
    """The parsed header, and how many bytes follow it."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, HEADER_BYTES):
            raise BundleError(f"is no safetensors file: {size} bytes, with a header of {length}")
        text = stream.read(length)
    try:
        return json.loads(text, object_pairs_hook=unique), size - 8 - length
    except (ValueError, RecursionError) as error:
        raise BundleError(f"has a header that is no JSON: {error}") from None


def _checked(header: object, rest: int) -> dict[str, Tensor]:
    if not isinstance(header, dict) or len(header) > MOST_TENSORS:
        raise BundleError(f"has a header that is no mapping of at most {MOST_TENSORS} tensors")
    try:
        placed = HEADER.validate_python({name: told for name, told in header.items() if name != "__metadata__"})
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise BundleError(f"describes {where!r} in a way that cannot be: {fault['msg']}") from None
    end = 0
    for name, one in sorted(placed.items(), key=lambda pair: pair[1].data_offsets):
        first, last = one.data_offsets
        if last - first != one.size:
            raise BundleError(f"gives {name!r} {last - first} bytes, its shape {list(one.shape)} takes {one.size}")
        if first != end:
            raise BundleError(f"has {name!r} at {first}, the tensor before it ends at {end}")
        end = last
    if end != rest:
        raise BundleError(f"holds {rest} bytes of tensors, its header describes {end}")
    return {name: Tensor(dtype=one.dtype, shape=one.shape) for name, one in placed.items()}
