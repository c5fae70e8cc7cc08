import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from recsys.config import EncoderSettings
from recsys.encoder.trained import DESCRIPTION, WEIGHTS, TrainedEncoder
from recsys.errors import BundleError
from recsys.features.history import Points, at_end
from tests.encoder.samples import encoder_of, histories, views

SMALL = EncoderSettings(dim=8, heads=2, length=3)
H = views("abc", "", "dcba", "z", "ab", "c")


@pytest.fixture
def encoder() -> TrainedEncoder:
    return encoder_of(SMALL, "abcd")


def test_a_saved_encoder_gives_the_same_bits(encoder: TrainedEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "new" / "e")
    again = TrainedEncoder.load(tmp_path / "new" / "e")
    assert (again.settings, again.vocabulary, again.behaviours, again.newest) == (
        encoder.settings, encoder.vocabulary, encoder.behaviours, encoder.newest,
    )  # fmt: skip
    np.testing.assert_array_equal(again.encode(H, at_end(H, 0)), encoder.encode(H, at_end(H, 0)))
    np.testing.assert_array_equal(again.item_vectors(), encoder.item_vectors())
    assert sorted(path.name for path in (tmp_path / "new" / "e").iterdir()) == [DESCRIPTION, WEIGHTS]


def test_vectors_have_unit_length_and_nothing_is_zero(encoder: TrainedEncoder) -> None:
    vectors = encoder.encode(H, at_end(H, 0))
    assert (vectors.shape, vectors.dtype.name) == ((6, 8), "float32")
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 1, 1, 1, 1], atol=1e-6)
    assert encoder.item_vectors().shape == (4, 8)
    nobody = histories([])
    assert encoder.encode(nobody, at_end(nobody, 0)).shape == (0, 8)


def test_only_the_newest_behaviours_of_the_stretch_count(encoder: TrainedEncoder) -> None:
    h = views("dabcd")
    points = Points(
        start=np.asarray([0, 1, 0]), end=np.asarray([4, 4, 5]), at=np.asarray([0, 99, 0])
    )  # none lies after
    whole, part, longer = encoder.encode(h, points)
    np.testing.assert_array_equal(whole, part)
    assert abs(whole - longer).max() > 1e-3
    later = Points(start=points.start[:1], end=points.end[:1], at=np.asarray([h.time[3] + 86_400_000_000]))
    assert abs(encoder.encode(h, later)[0] - whole).max() > 1e-3  # a day later something else is next
    behind = histories([[("a", 1, 60), ("b", 1, 120), ("c", 1, 180)]])
    assert abs(encoder.encode(behind, at_end(behind, 0))[0] - whole).max() > 1e-3  # other behaviours, another vector


def test_the_soft_maximum_makes_cosines_log_probabilities(encoder: TrainedEncoder) -> None:
    users = encoder.encode(H, at_end(H, 0))[[0, 2]]
    cosine = users @ encoder.item_vectors().T
    tau = encoder.settings.temperature
    lead = (cosine - encoder.soft_maximum(users)[:, None]) / tau
    np.testing.assert_allclose(np.exp(lead).sum(axis=1), 1, rtol=1e-4)
    np.testing.assert_allclose(
        np.exp(lead), np.exp(cosine / tau) / np.exp(cosine / tau).sum(1, keepdims=True), rtol=1e-3
    )


def test_guesses_are_left_behind_and_an_older_bundle_has_none(encoder: TrainedEncoder, tmp_path: Path) -> None:
    guessing = replace(encoder, learned=3)
    bare = guessing.without_guesses()
    assert (bare.vocabulary.items, bare.learned, len(bare.crowd)) == (("a", "b", "c"), 3, 3)
    np.testing.assert_array_equal(bare.item_vectors(), encoder.item_vectors()[:3])
    np.testing.assert_array_equal(bare.encode(H, at_end(H, 0))[[0, 4, 5]], encoder.encode(H, at_end(H, 0))[[0, 4, 5]])
    assert encoder.without_guesses() is encoder
    guessing.save(tmp_path)
    assert TrainedEncoder.load(tmp_path).learned == 3
    path = tmp_path / DESCRIPTION
    told = json.loads(path.read_text())
    del told["learned"]
    path.write_text(json.dumps(told))
    assert TrainedEncoder.load(tmp_path).learned == 4


def test_training_mode_does_not_leak_into_vectors(encoder: TrainedEncoder) -> None:
    before = encoder.encode(H, at_end(H, 0))
    encoder.model.train()
    np.testing.assert_array_equal(encoder.encode(H, at_end(H, 0)), before)


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"dim": 16}},
        {"settings": {"surprise": 1}},
        {"items": ["a", "b", "c"]},
        {"items": ["a", "b", "c", "a"]},
        {"items": None},
        {"behaviours": ["view"]},
        {"newest": None},
        {"learned": 5},
        {"learned": -1},
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    encoder: TrainedEncoder, tmp_path: Path, change: dict[str, object]
) -> None:
    encoder.save(tmp_path)
    path = tmp_path / DESCRIPTION
    told = json.loads(path.read_text())
    if isinstance(settings := change.get("settings"), dict):
        change = {"settings": told["settings"] | settings}
    path.write_text(json.dumps(told | change))
    with pytest.raises(BundleError):
        TrainedEncoder.load(tmp_path)


def test_absent_and_damaged_files_are_named(encoder: TrainedEncoder, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"'encoder\.safetensors' is missing"):
        TrainedEncoder.load(tmp_path)
    encoder.save(tmp_path)
    (tmp_path / DESCRIPTION).unlink()
    with pytest.raises(BundleError, match=r"'encoder\.json' is missing"):
        TrainedEncoder.load(tmp_path)
    for text in ("", "{", "[]", "{}", "null"):
        (tmp_path / DESCRIPTION).write_text(text)
        with pytest.raises(BundleError, match="damaged or incomplete"):
            TrainedEncoder.load(tmp_path)
    encoder.save(tmp_path)
    whole = (tmp_path / WEIGHTS).read_bytes()
    for data in (b"", b"\x80\x04pickle", whole[:-1], whole[: len(whole) // 2]):
        (tmp_path / WEIGHTS).write_bytes(data)
        with pytest.raises(BundleError, match="damaged or incomplete"):
            TrainedEncoder.load(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(whole)
    lacking = load_file(tmp_path / WEIGHTS)
    del lacking["gaps"]
    save_file(lacking, tmp_path / WEIGHTS)
    with pytest.raises(BundleError, match="gaps"):
        TrainedEncoder.load(tmp_path)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU")
def test_a_gpu_gives_nearly_the_same_vectors(encoder: TrainedEncoder) -> None:
    here = encoder.encode(H, at_end(H, 0))
    encoder.model.to("cuda")
    there = encoder.encode(H, at_end(H, 0))
    assert (here * there).sum(1)[here.any(1)].min() > 0.999  # bfloat16 on the GPU
