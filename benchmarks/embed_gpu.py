"""Users' vectors on one GPU: the very iterator that the Spark UDF wraps, fed Arrow batches, beside the bare pass.

Needs PyTorch, Arrow and this package's other light requirements, no Spark and no network. On a machine without a GPU it
says so and measures nothing.

Shape letters: U users.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from benchmarks._machine import described_machine
from benchmarks._profiles import Batches, lists, random_encoder, write_profiles
from benchmarks._record import FEWEST, AbsentError, Figure, Run, Timing, main, once
from recsys.config import EncoderSettings
from recsys.encoder.embed import embed_batches, load, newest
from recsys.encoder.forward import LEAST, TOKENS, parts, precision
from recsys.encoder.sequences import Batch, collate, last_windows, ragged, tokens
from recsys.encoder.trained import TrainedEncoder
from recsys.features.history import at_end

GPU = torch.device("cuda")
WANTED = 0.8
WAIT_S = 240.0
SHAPES = {
    "default": EncoderSettings(),
    "quality": EncoderSettings(dim=384),
    "large": EncoderSettings(dim=512, blocks=8, heads=8, expansion=4),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The benchmark's own options."""
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--tasks", type=int, nargs="+", default=[1, 8], help="processes that share the GPU")


def measure(run: Run, asked: argparse.Namespace) -> None:
    """Each shape: the bare pass once, then the iterator in one process and in several that share the GPU."""
    if not torch.cuda.is_available():
        raise AbsentError(f"PyTorch {torch.__version__} sees no GPU.")
    users = 20_000 if asked.quick else asked.users
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_profiles(folder / "profiles", users, run.seed)
        write_streams(folder / "profiles")
        for shape, settings in SHAPES.items():
            random_encoder(run.seed, settings).save(folder / shape)
            bare = users / bare_seconds(load(folder / shape, GPU), folder / "profiles").median
            for tasks in asked.tasks:
                run.add(figure(shape, tasks, users, shared_seconds(tasks, folder / shape, folder / "profiles"), bare))


def figure(shape: str, tasks: int, users: int, seconds: Timing, bare: float) -> Figure:
    """`gpu_vs_torch`: users/s of all tasks together over those of the bare pass in one process."""
    rate = tasks * users / seconds.median
    return Figure(
        metric="gpu_vs_torch",
        value=rate,
        unit="users/s",
        rows=tasks * users,
        seconds=seconds.median,
        peer="bare forward pass",
        peer_value=bare,
        ratio=rate / bare,
        more={
            "shape": shape,
            "tasks": tasks,
            "measured_on": f"{described_machine()}, {torch.cuda.get_device_name()}, PyTorch {torch.__version__}",
            "note": f"wanted: a ratio of {WANTED} or more; the bare pass has its tensors on the GPU beforehand",
        },
    )


def bare_seconds(encoder: TrainedEncoder, profiles: Path) -> Timing:
    """The forward pass over tensors that lie on the GPU, collated as the iterator does."""
    model, ready = encoder.model, [b.to(GPU) for batch in streamed(profiles) for b in collated(encoder, batch)]

    def work() -> None:
        with torch.inference_mode(), precision(GPU, inference=True):
            for batch in ready:
                model(batch, model.items, newest=True)
        torch.cuda.synchronize()

    work()
    return Timing(tuple(once(work) for _ in range(FEWEST)))


def write_streams(profiles: Path) -> None:
    """What Spark sends to a Python worker, in files: Arrow streams of the profiles' lists, of one Arrow batch each."""
    for number, batch in enumerate(lists(profiles)):
        with (
            pa.OSFile(str(profiles / f"{number:04d}.arrows"), "wb") as file,
            pa.ipc.new_stream(file, batch.schema) as to,
        ):
            to.write_batch(batch)


def streamed(profiles: Path) -> Batches:
    """The batches of `write_streams`."""
    for path in sorted(profiles.glob("*.arrows")):
        with pa.OSFile(str(path)) as file:
            yield from pa.ipc.open_stream(file)


def collated(encoder: TrainedEncoder, rows: pa.RecordBatch) -> Iterator[Batch]:
    """The passes that the iterator makes of one Arrow batch."""
    h = newest(rows, encoder.settings.length, encoder.behaviours)
    asked, t = at_end(h, 0), tokens(h, encoder.vocabulary, len(encoder.behaviours))
    spans = last_windows(asked.start, asked.end, encoder.settings.length)
    order = np.argsort(spans.lengths, kind="stable")
    for part in parts(spans.lengths[order], TOKENS[GPU.type], LEAST[GPU.type]):
        w = spans.take(order[part])
        flat = ragged(w.start, w.lengths)
        yield collate(t, w, flat, t.item[flat], asked.at[order[part]])


def shared_seconds(tasks: int, encoder: Path, profiles: Path) -> Timing:
    """Wall time of `tasks` processes that each put all profiles through the iterator at the same time."""
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(tasks + 1)
    workers = [context.Process(target=task, args=(encoder, profiles, gate)) for _ in range(tasks)]
    for worker in workers:
        worker.start()
    found = []
    for _ in range(FEWEST):
        gate.wait(WAIT_S)
        began = time.perf_counter()
        gate.wait(WAIT_S)
        found.append(time.perf_counter() - began)
    for worker in workers:
        worker.join()
    return Timing(tuple(found))


def task(encoder: Path, profiles: Path, gate: Barrier) -> None:
    """One Python worker as Spark starts it: a thread, the encoder loaded once, Arrow batches in and out."""
    torch.set_num_threads(1)
    loaded = load(encoder, GPU)

    def work() -> None:
        for _ in embed_batches(loaded, "benchmark", streamed(profiles)):
            pass

    work()
    for _ in range(FEWEST):
        gate.wait(WAIT_S)
        work()
        gate.wait(WAIT_S)


if __name__ == "__main__":
    sys.exit(main("embed_gpu", __doc__ or "", measure, arguments=arguments))
