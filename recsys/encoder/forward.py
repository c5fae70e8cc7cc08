"""Windows to vectors: in stretches of nearly equal length, on the model's device, halved where its memory ends.

Shape letters: W windows, D width, B windows of one pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recsys.encoder.model import Encoder
from recsys.encoder.sequences import Tokens, Windows, collate, ragged, sent
from recsys.features.history import F32, I64

# Tokens of one pass. On a CPU: enough for full matrix speed, small enough to stay in the cache. On a GPU: enough to
# keep it busy while the next pass is put together.
TOKENS = {"cpu": 1 << 14, "cuda": 1 << 18}
# A pass of so many tokens ends where the next window is longer, so that nothing is padded. A GPU pads faster than it
# begins one more pass.
LEAST = {"cpu": 1 << 11, "cuda": 1 << 18}


@dataclass(frozen=True)
class Launched:
    """[W, D] vectors that a device may still be working out."""

    vectors: Tensor  # in this process's memory
    done: torch.cuda.Event | None = None  # after which they are there; None: they are

    def fetch(self) -> F32:
        """The vectors, once they are there. What was launched since goes on."""
        if self.done is not None:
            self.done.synchronize()
        array: F32 = self.vectors.numpy()
        return array


def encode(model: Encoder, translated: Tokens, spans: Windows, at: I64) -> F32:
    """[W, D] unit vector of each window at the moment `at` [W], zeros for an empty one."""
    return launch(model, translated, spans, at).fetch()


def launch(model: Encoder, translated: Tokens, spans: Windows, at: I64) -> Launched:
    """`encode` on the model's device; on a GPU it returns before the work is done, so that the CPU can go on."""
    device = model.items.device
    out = torch.zeros((len(spans.end), model.dim), device=device)
    present = np.flatnonzero(spans.lengths > 0)
    rows = present[np.argsort(spans.lengths[present], kind="stable")]
    if model.training:  # walking all modules costs one short window as much as its arithmetic
        model.eval()
    with torch.inference_mode(), precision(device, inference=True):
        for part in parts(spans.lengths[rows], TOKENS[device.type], LEAST[device.type]):
            _fill(out, model, translated, spans, at, rows[part])
    if device.type == "cpu":
        return Launched(out)
    # Queued now, behind this work alone: asked for later, it would wait for whatever was launched since.
    here = torch.empty(out.shape, pin_memory=True).copy_(out, non_blocking=True)
    return Launched(here, torch.cuda.current_stream(device).record_event())


@contextmanager
def precision(device: torch.device, *, inference: bool) -> Iterator[None]:
    """Matrix products on a GPU in tensor-core formats: float32 rounded to TF32, bfloat16 in inference."""
    if device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with torch.autocast("cuda", torch.bfloat16, enabled=inference):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def parts(lengths: I64, most: int, least: int) -> list[slice]:
    """Stretches of ascending `lengths` that hold up to `most` tokens each when padded to their longest.

    A stretch also ends before a longer window once it holds `least` tokens.
    """
    cuts, first = [], 0
    changes = np.append(np.flatnonzero(np.diff(lengths)) + 1, len(lengths))
    while first < len(lengths):
        inside = lengths[first : first + most]  # a window holds a token at least
        reach = np.arange(1, len(inside) + 1, dtype=np.int64) * inside
        last = first + max(int(np.searchsorted(reach, most, side="right")), 1)
        enough = first + max(int(np.searchsorted(reach, least)), 1)
        last = min(last, int(changes[min(int(np.searchsorted(changes, enough)), len(changes) - 1)]))
        cuts.append(slice(first, last))
        first = last
    return cuts


def _fill(out: Tensor, model: Encoder, translated: Tokens, spans: Windows, at: I64, rows: I64) -> None:
    w = spans.take(rows)
    flat = ragged(w.start, w.lengths)
    try:
        batch = collate(translated, w, flat, translated.item[flat], at[rows]).to(out.device)
        out[sent(torch.from_numpy(rows), out.device)] = model(batch, model.items, newest=True).float()
    except torch.OutOfMemoryError:
        if len(rows) == 1:
            raise
    else:
        return
    # Outside the handler, whose traceback would keep what did not fit alive.
    if out.device.type == "cuda":
        torch.cuda.empty_cache()
    for half in np.array_split(rows, 2):
        _fill(out, model, translated, spans, at, half)
