import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.encoder import epochs as module
from recsys.encoder.checkpoint import Checkpoint, Kept, fingerprint, named, under
from recsys.encoder.progress import EpochLog
from recsys.encoder.train import train
from recsys.encoder.trained import TrainedEncoder
from recsys.features.history import I64, Histories
from tests.encoder.samples import BEHAVIOURS
from tests.encoder.test_train import SMALL, chains, state

ROOT = Path(__file__).resolve().parents[2]
H = chains(120)
S = SMALL.model_copy(update={"epochs": 6, "patience": 6})
Changes = Mapping[str, object]
NONE: Changes = {}
QUALITY: Changes = {"averaging": 0.95, "masking": 0.1, "gates": False, "type_weight": 0.2, "value_weight": 0.2}
Trained = tuple[TrainedEncoder, list[EpochLog]]
CHILD = """
import sys, time, torch
from pathlib import Path
from tests.encoder.test_checkpoint import BEHAVIOURS, LONG, H, train
torch.set_num_threads(1)
def tell(log):
    print(log.epoch, flush=True)
    time.sleep(0.5)  # so that the parent kills it long before the end
train(H, BEHAVIOURS, LONG, 1, on_epoch=tell, checkpoint=Path(sys.argv[1]))
"""
LONG = S.model_copy(update={"epochs": 12, "patience": 12})


class CutOffError(Exception):
    pass


def cut_off(h: Histories, after: int, file: Path, changes: Changes = NONE, start: TrainedEncoder | None = None) -> None:
    def stop(log: EpochLog) -> None:
        if log.epoch == after:
            raise CutOffError

    with pytest.raises(CutOffError):
        train(h, BEHAVIOURS, S.model_copy(update=changes), 1, start, stop, checkpoint=file)


def whole(
    h: Histories, changes: Changes = NONE, start: TrainedEncoder | None = None, file: Path | None = None
) -> Trained:
    return train(h, BEHAVIOURS, S.model_copy(update=changes), 1, start, checkpoint=file)


def equal(found: Trained, expected: Trained) -> None:
    """To the bit, in all but the time that it took."""
    curve, wanted = ([(e.epoch, e.loss, e.recall, e.sequences) for e in logs] for _, logs in (found, expected))
    np.testing.assert_array_equal(curve, wanted)
    for name, weight in state(expected[0]).items():
        assert torch.equal(state(found[0])[name], weight), name
    np.testing.assert_array_equal(found[0].crowd, expected[0].crowd)  # drawn after the last epoch


@pytest.fixture
def trained_epochs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the epochs that were really trained, not restored."""
    seen, real = list[int](), module._trained

    def counted(run: module.Run, epoch: int, *rest: object) -> EpochLog:
        seen.append(epoch)
        return real(run, epoch, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_trained", counted)
    return seen


@pytest.mark.faults
def test_a_killed_training_goes_on_with_the_same_bits(tmp_path: Path, trained_epochs: list[int]) -> None:
    file = tmp_path / "there" / "training.safetensors"
    command = [sys.executable, "-c", CHILD, str(file)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line == "4\n":
                os.kill(child.pid, signal.SIGKILL)
                break
    assert child.returncode == -signal.SIGKILL
    told = list[EpochLog]()
    resumed = train(H, BEHAVIOURS, LONG, 1, on_epoch=told.append, checkpoint=file)
    assert 4 < trained_epochs[0] < 12  # it was killed at work, and its epochs were not trained again
    assert trained_epochs == list(range(trained_epochs[0], 13))
    assert told == resumed[1]
    equal(resumed, train(H, BEHAVIOURS, LONG, 1))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"prefixes": True, "smoothing": 0.1},
        {"validation_users": 0},
        {"lr": 0.05, "patience": 2, "epochs": 12},
        QUALITY,
    ],
)
def test_it_goes_on_wherever_it_was_cut_off(tmp_path: Path, trained_epochs: list[int], changes: Changes) -> None:
    expected = whole(H, changes)
    last = len(expected[1])
    for after in (1, last - 1, last):
        file = tmp_path / f"{after}.safetensors"
        cut_off(H, after, file, changes)
        trained_epochs.clear()
        equal(whole(H, changes, file=file), expected)
        assert trained_epochs == list(range(after + 1, last + 1))


def test_an_increment_goes_on_too_and_may_return_its_beginning(tmp_path: Path) -> None:
    start, _ = whole(H)
    newer = chains(60, seed=4, first=1000)
    for rate in (0.01, 5.0):  # at 5.0 nothing gets better: the best is what it began with
        changes: Changes = {"lr": rate, "increment_epochs": 3}
        expected = whole(newer, changes, start)
        file = tmp_path / f"{rate}.safetensors"
        cut_off(newer, 2, file, changes, start)
        equal(whole(newer, changes, start, file), expected)


def other_times(h: Histories) -> Histories:
    return replace(h, time=h.time + np.repeat([0, 60_000_000], [len(h.time) - 1, 1]))


@pytest.mark.parametrize(
    ("change", "seed", "histories"),
    [({"lr": 0.02}, 1, None), ({}, 2, None), ({}, 1, other_times), ({"epochs": 7}, 1, None)],
)
def test_a_checkpoint_of_another_training_is_left_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, trained_epochs: list[int], change: Changes, seed: int,
    histories: Callable[[Histories], Histories] | None,
) -> None:  # fmt: skip
    file = tmp_path / "c.safetensors"
    cut_off(H, 2, file)
    trained_epochs.clear()
    h = histories(H) if histories else H
    with caplog.at_level(logging.WARNING, "recsys"):
        train(h, BEHAVIOURS, S.model_copy(update=change), seed, checkpoint=file)
    assert "left aside" in caplog.text
    assert trained_epochs[0] == 1


def test_a_damaged_checkpoint_is_left_aside_and_a_draft_is_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, trained_epochs: list[int]
) -> None:
    file = tmp_path / "c.safetensors"
    cut_off(H, 2, file)
    draft = file.with_name("c.safetensors.part")  # of a training that was killed while writing: the file before counts
    draft.write_bytes(file.read_bytes()[:1000])
    trained_epochs.clear()
    expected = whole(H, file=file)
    assert trained_epochs[0] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.safetensors"]
    for damage in (file.read_bytes()[:1000], b"", b"\xff" * 4000):
        file.write_bytes(damage)
        with caplog.at_level(logging.WARNING, "recsys"):
            equal(whole(H, file=file), expected)
        assert "left aside" in caplog.text
        caplog.clear()


def test_what_was_kept_comes_back_to_the_bit(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "c.safetensors", "mine")
    assert kept.read() is None
    tensors = {"a.x": torch.tensor([1.5, float("nan")]), "a.y.z": torch.tensor(3), "b": torch.ones(4, 2).T}
    kept.write(Checkpoint(tensors, {"big": 1 << 120, "stale": 2}))
    found = kept.read()
    assert found is not None
    assert found.told == {"big": 1 << 120, "stale": 2}
    assert set(under("a", found.tensors)) == {"x", "y.z"}
    for name, tensor in tensors.items():
        assert torch.equal(found.tensors[name].nan_to_num(7), tensor.nan_to_num(7))
    assert Kept(kept.file, "other").read() is None
    assert named("a", {"x": tensors["b"]})["a.x"] is tensors["b"]


@dataclass(frozen=True)
class Data:
    one: I64
    two: tuple[I64, ...]


def test_a_fingerprint_sees_all_that_it_is_given() -> None:
    data, weights = Data(np.arange(3), (np.zeros(2, np.int64),)), {"w": torch.ones(2)}
    mark = fingerprint({"lr": 0.1}, data, weights)
    assert mark == fingerprint({"lr": 0.1}, Data(np.arange(3), (np.zeros(2, np.int64),)), {"w": torch.ones(2)})
    others = [
        fingerprint({"lr": 0.2}, data, weights),
        fingerprint({"lr": 0.1}, replace(data, one=np.arange(4)), weights),
        fingerprint({"lr": 0.1}, replace(data, two=(np.ones(2, np.int64),)), weights),
        fingerprint({"lr": 0.1}, replace(data, two=()), weights),
        fingerprint({"lr": 0.1}, data, {"w": torch.zeros(2)}),
    ]
    with torch.random.fork_rng():
        torch.manual_seed(99)
        others.append(fingerprint({"lr": 0.1}, data, weights))
    assert len({mark, *others}) == 7
