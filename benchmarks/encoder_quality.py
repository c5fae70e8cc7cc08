"""How good the encoder's lists are: Amazon Beauty, leave-one-out, full ranking, seen items removed, three seeds.

Training and judging can be done apart (`--lists`): a machine with a GPU trains, one with RecTools judges.

Shape letters: U users.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks import _beauty, _peers
from benchmarks._machine import described_machine
from benchmarks._record import SHARED, Figure, Run, Value, main
from recsys.config import EncoderSettings, load
from recsys.encoder.train import train, training_device
from recsys.features.history import I64

CONF = Path(__file__).resolve().parent.parent / "conf" / "quality.yaml"
GOAL = {"recall@10": 0.0930, "ndcg@10": 0.0532}
SEEDS, K = 3, 10


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One seed's training, as the judge reads it beside its lists."""

    seed: int
    validation: float  # best Recall@10 on the validation items
    epoch: int
    epochs: int
    seconds: float
    sequences: int  # of an epoch
    machine: str


def arguments(parser: argparse.ArgumentParser) -> None:
    """The benchmark's own options."""
    parser.add_argument("--conf", default=str(CONF), help="settings to train with; default conf/quality.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, over the file")
    parser.add_argument("--data", default=str(SHARED / "amazon_beauty"), help="folder of Beauty.txt.gz")
    parser.add_argument("--parallel", type=int, default=1, help="trainings at a time")
    parser.add_argument("--lists", help="keep the lists in this folder, or judge those that it holds")
    parser.add_argument("--no-judge", action="store_true", help="only train and keep the lists; nothing is recorded")
    parser.add_argument("--peers", action="store_true", help="make the peers' environment in .cache/peers")


def measure(run: Run, asked: argparse.Namespace) -> None:
    """Train three seeds where the lists are not there yet, then judge them twice."""
    path = Path(asked.data) / "Beauty.txt.gz"
    rows = _beauty.read(path if path.is_file() else _beauty.file(), 2000 if asked.quick else None)
    settings = load([asked.conf], asked.set).encoder.model_copy(
        update={"validation_users": len(rows), "validation_share": 1.0, **({"epochs": 2} if asked.quick else {})}
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(asked.lists or name)
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.glob("*.json")):
            one = partial(train_one, rows, settings, folder)
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(asked.parallel, mp_context=context) as pool:
                list(pool.map(one, range(run.seed, run.seed + SEEDS)))
        if not asked.no_judge:
            judge(run, rows, folder, _peers.ready(asked.peers))


def train_one(rows: list[list[str]], settings: EncoderSettings, folder: Path, seed: int) -> None:
    """Train with one seed and keep its Top-10 lists; the last item of each user is not in what it learns from."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    encoder, logs = train(_beauty.histories([r[:-1] for r in rows]), _beauty.BEHAVIOURS, settings, seed)
    best = max(logs, key=lambda log: log.recall)
    device = training_device(settings.device)
    gpu = f", {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    told = Trained(
        seed=seed,
        validation=best.recall,
        epoch=best.epoch,
        epochs=len(logs),
        seconds=time.perf_counter() - began,
        sequences=best.sequences,
        machine=described_machine() + gpu,
    )
    np.save(folder / f"{seed}.npy", _beauty.lists(encoder, rows, K).astype(np.int32))
    (folder / f"{seed}.json").write_text(json.dumps(asdict(told)), encoding="utf-8")
    print(f"seed {seed}: validation {told.validation:.4f} in epoch {told.epoch} of {told.epochs}, {told.seconds:.0f} s")


def judge(run: Run, rows: list[list[str]], folder: Path, peer: bool) -> None:
    """`recall@10` and `ndcg@10`, the means of all seeds, by our metrics and by RecTools' `calc_metrics`."""
    told = [Trained(**json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob("*.json"))]
    ours = [_beauty.quality(np.load(folder / f"{t.seed}.npy").astype(np.int64), rows) for t in told]
    theirs = [judged(np.load(folder / f"{t.seed}.npy").astype(np.int64), rows) for t in told] if peer else []
    for metric, limit in GOAL.items():
        mine = [q.recall if metric == "recall@10" else q.ndcg for q in ours]
        off = max(abs(a - b[metric]) for a, b in zip(mine, theirs, strict=True)) if theirs else None
        more: dict[str, Value] = {
            "seeds": ", ".join(f"{t.seed}: {value:.4f}" for t, value in zip(told, mine, strict=True)),
            "validation_recall@10": statistics.fmean(t.validation for t in told),
            "rectools_differs": off,
            "coverage@10": statistics.fmean(q.coverage for q in ours),
            "trained_on": told[0].machine,
            "note": f"best epochs {[t.epoch for t in told]} of {[t.epochs for t in told]}, chosen on validation",
        }
        run.add(
            Figure(
                metric=metric,
                value=statistics.fmean(mine),
                unit=metric,
                rows=len(rows),
                seconds=statistics.fmean(t.seconds for t in told),
                peer="limit",
                peer_value=limit,
                ratio=statistics.fmean(mine) / limit,
                more=more,
            )
        )


def judged(lists: I64, rows: list[list[str]]) -> dict[str, float]:
    """Recall@10 and NDCG@10 of Top-10 lists [U, 10] by RecTools."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "lists.npy", lists)
        np.save(Path(folder) / "wanted.npy", _beauty.wanted(rows))
        return _peers.rectools_judge(Path(folder))


if __name__ == "__main__":
    sys.exit(main("encoder_quality", __doc__ or "", measure, arguments=arguments))
