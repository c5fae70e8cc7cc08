import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recsys.config import EncoderSettings
from recsys.encoder import forward
from recsys.encoder.forward import encode, launch, parts, precision
from recsys.encoder.sequences import Tokens, last_windows, tokens
from recsys.encoder.vocabulary import Vocabulary
from recsys.features.history import F32
from tests.encoder.samples import model_of, views

SMALL = EncoderSettings(dim=8, heads=2, length=3)
H = views("abc", "", "dcba", "z", "ab", "c")
MODEL = model_of(SMALL, 4)
SPANS = last_windows(H.offsets[:-1], H.offsets[1:], 3)


def translated() -> Tokens:
    return tokens(H, Vocabulary(tuple("abcd")), 3)


def vectors() -> F32:
    return encode(MODEL, translated(), SPANS, np.zeros(6, dtype=np.int64))


@pytest.mark.parametrize("size", [1, 3, 4])
def test_passes_of_any_size_agree(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = vectors()
    monkeypatch.setattr(forward, "TOKENS", {"cpu": size})
    np.testing.assert_allclose(vectors(), whole, atol=1e-6)


def test_parts_hold_as_many_tokens_as_allowed_when_padded() -> None:
    lengths = np.asarray([1, 1, 1, 2, 2, 3, 3, 9], dtype=np.int64)
    found = [(p.start, p.stop) for p in parts(lengths, 6, 6)]
    assert found == [(0, 3), (3, 5), (5, 7), (7, 8)]  # 3 x 1 (a fourth would make 4 x 2), 2 x 2, 2 x 3, 9 alone


@given(st.lists(st.integers(1, 60), min_size=1, max_size=400), st.integers(1, 1 << 15), st.integers(1, 1 << 12))
def test_parts_cover_all_and_a_full_one_mixes_no_lengths(values: list[int], most: int, least: int) -> None:
    lengths = np.sort(np.asarray(values * 20, dtype=np.int64))
    found = parts(lengths, most, least)
    assert [p.start for p in found] == [0, *(p.stop for p in found[:-1])]
    assert found[-1].stop == len(lengths)
    for p in found:
        inside = lengths[p]
        assert len(inside) == 1 or len(inside) * inside[-1] <= most
        before = inside[inside < inside[-1]]
        assert len(before) * (before[-1] if len(before) else 0) < least  # what is padded is a small pass


class Tight(torch.nn.Module):
    """A model whose memory ends at `most` windows a pass."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.inner, self.dim, self.items, self.most, self.passes = MODEL, MODEL.dim, MODEL.items, most, list[int]()

    def forward(self, batch: object, table: torch.Tensor, newest: bool) -> torch.Tensor:
        size = len(batch.lengths)  # type: ignore[attr-defined]
        self.passes.append(size)
        if size > self.most:
            raise torch.OutOfMemoryError("no room")
        found: torch.Tensor = self.inner(batch, table, newest)
        return found


def test_a_pass_that_does_not_fit_is_halved() -> None:
    tight = Tight(2)
    found = launch(tight, translated(), SPANS, np.zeros(6, dtype=np.int64)).fetch()  # type: ignore[arg-type]
    np.testing.assert_allclose(found, vectors(), atol=1e-6)
    assert tight.passes == [5, 3, 2, 1, 2]  # five windows are not empty


def test_one_window_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        launch(Tight(0), translated(), SPANS, np.zeros(6, dtype=np.int64))  # type: ignore[arg-type]


def test_the_precision_of_others_stays_as_it_was() -> None:
    before = torch.get_float32_matmul_precision()
    with precision(torch.device("cuda"), inference=False):
        assert torch.get_float32_matmul_precision() == "high"
    with precision(torch.device("cpu"), inference=True):
        assert not torch.is_autocast_enabled("cpu")
    assert torch.get_float32_matmul_precision() == before
