"""What should not be and comes all the same: a clear error or a defined answer."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from recsys.config import EncoderSettings
from recsys.encoder.embed import embed_batches
from recsys.encoder.train import train
from recsys.encoder.trained import DESCRIPTION, WEIGHTS, TrainedEncoder
from recsys.errors import BundleError
from recsys.features.history import I64, Histories, at_end
from tests.encoder.samples import BEHAVIOURS, encoder_of, views
from tests.encoder.test_embed import batch_of

SMALL = EncoderSettings(dim=8, heads=2, length=5, epochs=1, batch=4096, negatives=8, validation_users=0)
LONG = 100_000
LETTERS = "abcdefgh"


@pytest.fixture
def encoder() -> TrainedEncoder:
    return encoder_of(SMALL, LETTERS)


def endless(seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list(LETTERS), LONG).tolist())


def last(h: Histories) -> I64:
    return np.asarray(h.time[h.offsets[1:] - 1])


def test_a_history_of_a_hundred_thousand_is_its_newest_behaviours(encoder: TrainedEncoder) -> None:
    word = endless()
    both = views(word, "ab")
    short = views(word[-SMALL.length :], "ab")
    found = encoder.encode(both, at_end(both, last(both)))
    np.testing.assert_allclose(found, encoder.encode(short, at_end(short, last(short))), atol=1e-6)
    batch = next(iter(embed_batches(encoder, "b1", iter([batch_of(word, "ab")]))))
    cut = next(iter(embed_batches(encoder, "b1", iter([batch_of(word[-5:], "ab")]))))
    vectors = [np.asarray(one.column("vector").to_pylist()) for one in (batch, cut)]
    assert vectors[0].shape == (2, 8)
    assert (np.abs(np.linalg.norm(vectors[0], axis=1) - 1) < 1e-5).all()


@pytest.mark.parametrize("prefixes", [False, True])
def test_one_user_of_a_hundred_thousand_behaviours_can_be_trained_on(prefixes: bool) -> None:
    """All but the last 2,000 are of one item: each has the first of those as its target. A second user has none."""
    place = np.arange(LONG + 2, dtype=np.int64) % LONG
    h = Histories(
        offsets=np.asarray([0, LONG, LONG + 2]),
        time=place * 1_000_000,
        behaviour=np.zeros(LONG + 2, dtype=np.int8),
        item=np.maximum(place - LONG + 2_000, 0).astype(np.int32),
        price=place,
        quantity=np.ones(LONG + 2, dtype=np.int64),
        value=place.astype(np.float64),
        items=tuple(f"i{n}" for n in range(2_000)),
    )
    small = SMALL.model_copy(update={"prefixes": prefixes, "chunks": 3})
    encoder, (log,) = train(h, BEHAVIOURS, small, 1)
    assert log.sequences == (LONG - 1 if prefixes else 3)
    assert np.isfinite(log.loss)
    assert np.isfinite(encoder.item_vectors()).all()


def test_histories_of_unknown_items_alone_have_a_vector_and_an_unknown_type_says_nothing(
    encoder: TrainedEncoder,
) -> None:
    strange = views("xyz", "")
    found = encoder.encode(strange, at_end(strange, 0))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 0], atol=1e-6)
    other = replace(strange, behaviour=np.full(3, 99, dtype=np.int8))  # a code that the encoder has no name for
    nameless = replace(strange, behaviour=np.full(3, -1, dtype=np.int8))
    np.testing.assert_array_equal(
        encoder.encode(other, at_end(other, 0)), encoder.encode(nameless, at_end(nameless, 0))
    )


def test_prices_that_are_no_numbers_change_no_vector(encoder: TrainedEncoder) -> None:
    h = views("abc")
    odd = replace(h, price=np.full(3, -(1 << 63)), value=np.full(3, np.nan), quantity=np.zeros(3, dtype=np.int64))
    np.testing.assert_array_equal(encoder.encode(odd, at_end(odd, 0)), encoder.encode(h, at_end(h, 0)))


@pytest.mark.parametrize("name", ["items", "gaps", "blocks.0.narrow.weight", "crowd"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(
    encoder: TrainedEncoder, tmp_path: Path, name: str, value: float
) -> None:
    encoder.save(tmp_path)
    weights = load_file(tmp_path / WEIGHTS)
    weights[name].view(-1)[3] = value
    save_file(weights, tmp_path / WEIGHTS)
    with pytest.raises(BundleError, match=f"is damaged: not finite are .*{name}"):
        TrainedEncoder.load(tmp_path)


def test_a_vocabulary_of_the_same_size_from_elsewhere_is_refused(encoder: TrainedEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "mine")
    encoder_of(SMALL, LETTERS[::-1]).save(tmp_path / "other")
    (tmp_path / "mine" / DESCRIPTION).write_bytes((tmp_path / "other" / DESCRIPTION).read_bytes())
    with pytest.raises(BundleError, match="its weights belong to another vocabulary"):
        TrainedEncoder.load(tmp_path / "mine")
    save_file(load_file(tmp_path / "mine" / WEIGHTS), tmp_path / "mine" / WEIGHTS)  # as an earlier release wrote it
    assert TrainedEncoder.load(tmp_path / "mine").vocabulary.items == tuple(LETTERS[::-1])


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / DESCRIPTION).write_text(json.dumps({"names": ["price"]}))
    save_file({"0.weight": torch.zeros(2, 2)}, tmp_path / WEIGHTS)
    with pytest.raises(BundleError, match="damaged or incomplete"):
        TrainedEncoder.load(tmp_path)
    with pytest.raises(BundleError, match="is missing"):
        TrainedEncoder.load(tmp_path / "nowhere")


def test_no_batch_and_no_row_give_none(encoder: TrainedEncoder) -> None:
    assert list(embed_batches(encoder, "b1", iter([]))) == []
    (nothing,) = embed_batches(encoder, "b1", iter([batch_of("a").slice(0, 0)]))
    assert nothing.num_rows == 0
    assert nothing.column("vector").type == pa.list_(pa.float32())
