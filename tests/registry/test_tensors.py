"""Headers as the safetensors library writes them; what others write is refused in test_hostile.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from recsys.errors import BundleError
from recsys.registry.tensors import Tensor, read_tensors

DTYPES = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "I64": torch.int64, "BOOL": torch.bool}
SHAPES = st.lists(st.integers(0, 4), max_size=3)
FILES = st.dictionaries(st.text("ab.é", min_size=1), st.tuples(st.sampled_from(sorted(DTYPES)), SHAPES), max_size=4)


def tensors_of(path: Path) -> dict[str, Tensor] | None:
    """None where the file is refused; any other error is the test's failure."""
    try:
        return read_tensors(path)
    except BundleError:
        return None


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FILES)
def test_what_the_library_writes_is_read_as_it_is(tmp_path: Path, file: dict[str, tuple[str, list[int]]]) -> None:
    tensors = {name: torch.zeros(shape, dtype=DTYPES[dtype]) for name, (dtype, shape) in file.items()}
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    found = read_tensors(tmp_path / "x.safetensors")
    assert found == {name: Tensor(dtype=dtype, shape=tuple(shape)) for name, (dtype, shape) in file.items()}


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=64), st.integers(0, 80))
def test_damaged_files_are_read_or_refused_and_never_anything_else(tmp_path: Path, noise: bytes, at: int) -> None:
    save_file({"a": torch.zeros(2, 3), "b": torch.zeros(4)}, tmp_path / "x.safetensors")
    sound = (tmp_path / "x.safetensors").read_bytes()
    (tmp_path / "x.safetensors").write_bytes(sound[:at] + noise + sound[at + len(noise) :])
    found = tensors_of(tmp_path / "x.safetensors")
    assert found is None or sum(tensor.size for tensor in found.values()) <= len(sound)


def test_a_tensor_without_elements_may_lie_anywhere_between_two(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(0), "b": torch.zeros(1), "c": torch.zeros(0, 5)}, tmp_path / "x.safetensors")
    assert len(read_tensors(tmp_path / "x.safetensors")) == 3


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").touch()
    with pytest.raises(BundleError, match="0 bytes, with a header of 0"):
        read_tensors(tmp_path / "x.safetensors")
