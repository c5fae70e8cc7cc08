import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from recsys.errors import BundleError
from recsys.ranking.model import Ranker
from recsys.ranking.standardise import fit
from recsys.ranking.trained import DESCRIPTION, WEIGHTS, Shape, TrainedRanker


@pytest.fixture
def ranker() -> TrainedRanker:
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    x[:10, 1] = np.nan
    standardisation = fit(x, ("a", "b", "c"))
    torch.manual_seed(0)
    model = Ranker(standardisation.inputs, (4,), 1, 0.1)
    model(torch.from_numpy(standardisation.apply(x)))
    shape = Shape(names=("a", "b", "c"), indicator=(1,), hidden=(4,), cross=1, dropout=0.1)
    return TrainedRanker(shape=shape, standardisation=standardisation, model=model.eval())


def test_a_saved_ranker_scores_the_same(ranker: TrainedRanker, tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(9, 3)).astype(np.float32)
    x[0, 1] = np.nan
    ranker.save(tmp_path / "r")
    again = TrainedRanker.load(tmp_path / "r")
    assert again.names == ("a", "b", "c")
    np.testing.assert_array_equal(again.score(x), ranker.score(x))
    assert ranker.score(x).dtype == np.float32
    assert ((ranker.score(x) > 0) & (ranker.score(x) < 1)).all()
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == [DESCRIPTION, WEIGHTS]


def test_no_rows_give_no_scores(ranker: TrainedRanker) -> None:
    assert ranker.score(np.zeros((0, 3), dtype=np.float32)).shape == (0,)


def test_saving_twice_gives_the_same_bytes(ranker: TrainedRanker, tmp_path: Path) -> None:
    for name in ("one", "two"):
        ranker.save(tmp_path / name)
    assert (tmp_path / "one" / WEIGHTS).read_bytes() == (tmp_path / "two" / WEIGHTS).read_bytes()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hidden": [5]}, "do not fit"),
        ({"names": ["a", "b"]}, "2 values each"),
        ({"format": 99}, "format 99"),
        ({"indicator": [3]}, "points at no feature"),
        ({"surprise": 1}, "cannot be read"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    ranker: TrainedRanker, tmp_path: Path, change: dict[str, object], says: str
) -> None:
    ranker.save(tmp_path)
    path = tmp_path / DESCRIPTION
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BundleError, match=says):
        TrainedRanker.load(tmp_path)


def test_broken_or_absent_files_are_refused(ranker: TrainedRanker, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"ranker\.json"):
        TrainedRanker.load(tmp_path)
    ranker.save(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"\x80\x04not safetensors")
    with pytest.raises(BundleError, match=r"ranker\.safetensors"):
        TrainedRanker.load(tmp_path)
    save_file({"mean": torch.zeros(3)}, tmp_path / WEIGHTS)
    with pytest.raises(BundleError, match="3 values each"):
        TrainedRanker.load(tmp_path)
