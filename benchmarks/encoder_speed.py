"""How fast the encoder learns: Amazon Beauty, D=64, one block, length 50, one thread, beside RecTools' eSASRec."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # before PyTorch starts its threads

import numpy as np
import torch

from benchmarks import _beauty, _peers
from benchmarks._record import FEWEST, Figure, Run, main
from recsys.config import EncoderSettings
from recsys.encoder.progress import EpochLog
from recsys.encoder.train import train
from recsys.features.history import I64, Histories

GOAL, LIMIT_S = 0.079, 200.0  # Recall@10 on the test items, and how soon it should be there
PEER_BATCHES = 8  # of 128 sequences in an epoch of the peer: its rate does not depend on their number
NEW_SHARE = 0.1
EVERYBODY = {"validation_users": 10**6, "validation_share": 1.0}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The benchmark's own options."""
    parser.add_argument("--peers", action="store_true", help="make the peers' environment in .cache/peers")
    parser.add_argument("--epochs", type=int, default=40, help="epochs at most; validation stops earlier")


def measure(run: Run, asked: argparse.Namespace) -> None:
    """All figures, one after the other on the same core."""
    torch.set_num_threads(1)
    path = _beauty.file()
    rows = _beauty.read(path, 2000 if asked.quick else None)
    settings = EncoderSettings(epochs=min(asked.epochs, 4) if asked.quick else asked.epochs)
    speed_and_quality(run, rows, settings, _peers.ready(asked.peers), 2 if asked.quick else PEER_BATCHES)
    increments(run, rows, settings)


def speed_and_quality(run: Run, rows: list[list[str]], settings: EncoderSettings, peer: bool, batches: int) -> None:
    """`train_seq_per_cpu_s` and `seconds_to_recall_079` of one training, the peer's rate right behind it."""
    everybody = settings.model_copy(update=EVERYBODY)
    encoder, logs = train(_beauty.histories([r[:-1] for r in rows]), _beauty.BEHAVIOURS, everybody, run.seed)
    ours = statistics.median(log.sequences / log.cpu_seconds for log in logs)
    rates = peer_rates(rows, run.seed, batches) if peer else None
    theirs = statistics.median(rates) if rates else None
    run.add(
        Figure(
            metric="train_seq_per_cpu_s",
            value=ours,
            unit="sequences/CPU-s",
            rows=logs[0].sequences,
            seconds=sum(log.seconds for log in logs),
            peer="RecTools eSASRec",
            peer_value=theirs,
            ratio=ours / theirs if theirs else None,
            more={} if rates else {"note": "the peer is not installed: run with --peers"},
        )
    )
    chosen = max(logs, key=lambda log: log.recall).epoch  # of equals the first, as in training
    found = _beauty.tested(encoder, rows)
    taken = sum(log.seconds for log in logs[:chosen])
    run.add(
        Figure(
            metric="seconds_to_recall_079",
            value=taken if found.recall >= GOAL else None,
            unit="s",
            rows=logs[0].sequences,
            seconds=sum(log.seconds for log in logs),
            peer="limit",
            peer_value=LIMIT_S,
            ratio=taken / LIMIT_S if found.recall >= GOAL else None,
            more={
                "recall@10": found.recall,
                "ndcg@10": found.ndcg,
                "note": f"wall time of training until epoch {chosen} of {len(logs)}, which validation chose; the test "
                "items were looked at once, after it; validation itself is not counted",
            },
        )
    )


def peer_rates(rows: list[list[str]], seed: int, batches: int) -> list[float]:
    """Sequences a CPU second of the peer, epoch by epoch."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sequences.txt"
        path.write_text("".join(f"{n} {' '.join(r)}\n" for n, r in enumerate(rows)), encoding="utf-8")
        told = _peers.rectools_esasrec(path, seed, batches)
    rates = told["sequences_per_cpu_s"]
    return [float(rate) for rate in rates] if isinstance(rates, list) else []


def increments(run: Run, rows: list[list[str]], settings: EncoderSettings) -> None:
    """`increment_cpu_ratio` and `increment_recall_ratio`: three increments against one full training.

    The newest tenth of all behaviours by (random) moment is new. An increment sees the users that have a new
    behaviour, as the nightly job does.
    """
    known = [r[:-1] for r in rows]
    h = _beauty.histories(known, _beauty.moments(known, run.seed))
    border = int(np.quantile(h.time, 1 - NEW_SHARE))
    old, _ = train(subset(h, h.time <= border), _beauty.BEHAVIOURS, settings, run.seed)
    full, logs = train(h, _beauty.BEHAVIOURS, settings, run.seed)
    touched = np.repeat(np.maximum.reduceat(h.time, h.offsets[:-1]) > border, h.lengths)
    new = subset(h, touched)
    again = [train(new, _beauty.BEHAVIOURS, settings, run.seed + n, old) for n in range(FEWEST)]
    cpu = statistics.median(training_cpu(epochs) for _, epochs in again)
    recall = [_beauty.tested(encoder, rows).recall for encoder in (full, old, *(e for e, _ in again))]
    seconds = sum(log.seconds for _, epochs in again for log in epochs)
    note = f"{int((h.time > border).sum())} new behaviours of {new.users} users; random moments that keep the order"
    add_ratios(run, new.users, seconds, (cpu, training_cpu(logs)), recall, note)


def add_ratios(run: Run, rows: int, seconds: float, cpu: tuple[float, float], recall: list[float], note: str) -> None:
    """Both figures. `cpu`: increment, full. `recall`: full, the start, then each increment."""
    ours = statistics.median(recall[2:])
    for metric, unit, mine, theirs in (
        ("increment_cpu_ratio", "CPU-s", *cpu),
        ("increment_recall_ratio", "Recall@10", ours, recall[0]),
    ):
        figure = Figure(
            metric=metric,
            value=mine,
            unit=unit,
            rows=rows,
            seconds=seconds,
            peer="full training",
            peer_value=theirs,
            ratio=mine / theirs,
            more={"note": note} if "cpu" in metric else {"note": f"the start had {recall[1]:.4f}"},
        )
        run.add(figure)


def training_cpu(logs: list[EpochLog]) -> float:
    """CPU seconds of a training without its validation: its median epoch times its epochs."""
    return statistics.median(log.cpu_seconds for log in logs) * len(logs)


def subset(h: Histories, keep: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Histories:
    """The behaviours at `keep` [E]; users without one are left out."""
    counts: I64 = np.add.reduceat(keep.astype(np.int64), h.offsets[:-1])
    used = np.unique(h.item[keep])
    codes = np.zeros(len(h.items), dtype=np.int32)
    codes[used] = np.arange(len(used))
    return Histories(
        offsets=np.concatenate([[0], np.cumsum(counts[counts > 0])]).astype(np.int64),
        time=h.time[keep],
        behaviour=h.behaviour[keep],
        item=codes[h.item[keep]],
        price=h.price[keep],
        quantity=h.quantity[keep],
        value=h.value[keep],
        items=tuple(h.items[n] for n in used),
    )


if __name__ == "__main__":
    sys.exit(main("encoder_speed", __doc__ or "", measure, arguments=arguments))
