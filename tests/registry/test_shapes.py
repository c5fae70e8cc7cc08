from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from recsys.errors import BundleError
from recsys.registry.contents import check_contents
from recsys.registry.shapes import check_shapes
from tests.registry.conftest import MakeBundle, ranker


@pytest.fixture
def folder(make_bundle: MakeBundle, tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "b", 1).folder


@pytest.mark.parametrize(
    ("part", "name", "value", "says"),
    [
        (
            "encoder",
            "items",
            torch.zeros(20, 8),
            r"'items' of 'encoder\.safetensors' is F32 \[20, 8\]; .* F32 \[21, 8\]",
        ),
        ("encoder", "crowd", None, r"'crowd' of 'encoder\.safetensors' is absent; .* must be F32 \[20\]"),
        ("encoder", "more", torch.zeros(1), r"'more' of .* is F32 \[1\]; by its description it must be absent"),
        ("ranker", "mean", torch.zeros(3), r"'mean' of 'ranker\.safetensors' is F32 \[3\]"),
        ("ranker", "model.head.bias", torch.zeros(1, dtype=torch.float64), "is F64 .1.; .* must be F32 .1."),
    ],
)
def test_weights_that_do_not_fit_their_description_are_named(
    folder: Path, part: str, name: str, value: torch.Tensor | None, says: str
) -> None:
    check_shapes(folder / "encoder", folder / "ranker")
    path = folder / part / f"{part}.safetensors"
    tensors = {key: tensor.clone() for key, tensor in load_file(path).items() if key != name}
    save_file(tensors | ({} if value is None else {name: value}), path)
    with pytest.raises(BundleError, match=says):
        check_shapes(folder / "encoder", folder / "ranker")


def test_heads_and_what_was_learned_of_them_are_part_of_the_shape(folder: Path) -> None:
    learned = ranker(1, tasks={"cart": 1.0, "click": 2.0, "purchase": 1.0, "rating": 1.0}, task_weights="learned")
    learned.save(folder / "ranker")
    check_shapes(folder / "encoder", folder / "ranker")
    path = folder / "ranker" / "ranker.safetensors"
    save_file({key: tensor.clone() for key, tensor in load_file(path).items() if "variance" not in key}, path)
    with pytest.raises(BundleError, match=r"'model\.log_variance' .* absent; .* must be F32 \[4\]"):
        check_shapes(folder / "encoder", folder / "ranker")


def test_attention_is_part_of_the_shape(folder: Path) -> None:
    ranker(1, attention=3).save(folder / "ranker")
    check_shapes(folder / "encoder", folder / "ranker")
    path = folder / "ranker" / "ranker.safetensors"
    tensors = {key: tensor.clone() for key, tensor in load_file(path).items()}
    save_file(tensors | {"model.attention.told.bias": torch.zeros(3)}, path)
    with pytest.raises(BundleError, match=r"attention\.told\.bias' of .* is F32 \[3\]; .* must be F32 \[12\]"):
        check_shapes(folder / "encoder", folder / "ranker")
    described = folder / "ranker" / "ranker.json"
    described.write_text(described.read_text().replace('"hidden": 16', '"hidden": 1000000'))
    with pytest.raises(BundleError, match="ask for 1000000; 8192 is the limit"):
        check_shapes(folder / "encoder", folder / "ranker")


def test_places_of_lists_are_part_of_the_shape(folder: Path) -> None:
    ranker(1, positions=4).save(folder / "ranker")
    check_shapes(folder / "encoder", folder / "ranker")
    path = folder / "ranker" / "ranker.safetensors"
    tensors = {key: tensor.clone() for key, tensor in load_file(path).items()}
    save_file(tensors | {"model.places.value": torch.zeros(4)}, path)
    with pytest.raises(BundleError, match=r"places\.value' of .* is F32 \[4\]; .* must be F32 \[5\]"):
        check_shapes(folder / "encoder", folder / "ranker")
    described = folder / "ranker" / "ranker.json"
    described.write_text(described.read_text().replace('"positions": 4', '"positions": 1000000'))
    with pytest.raises(BundleError, match="ask for 1000000; 8192 is the limit"):
        check_shapes(folder / "encoder", folder / "ranker")


def test_a_description_that_is_absent_is_named(folder: Path) -> None:
    (folder / "ranker" / "ranker.json").unlink()
    with pytest.raises(BundleError, match=r"Ranker description .* cannot be read"):
        check_shapes(folder / "encoder", folder / "ranker")


def test_sound_contents_are_accepted_and_only_tensors_are_described(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    found = {path.suffix: len(check_contents(path, 1 << 30)) for path in files}
    assert found[".json"] == found[".parquet"] == 0
    assert found[".safetensors"] > 0
    with pytest.raises(BundleError, match="unfolds"):
        check_contents(folder / "items.parquet", 100)
