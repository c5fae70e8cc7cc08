import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from recsys.config import Operation
from recsys.errors import BundleError
from recsys.ranking.fit import fit_inputs
from recsys.ranking.model import Ranker
from recsys.ranking.trained import DESCRIPTION, WEIGHTS, Shape, TrainedRanker


@pytest.fixture
def ranker() -> TrainedRanker:
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    x[:10, 1] = np.nan
    inputs = fit_inputs(x, ("a", "b", "c"))
    torch.manual_seed(0)
    model = Ranker(inputs.width, (4,), 1, 0.1)
    model(torch.from_numpy(inputs.apply(x)))
    shape = Shape(names=("a", "b", "c"), indicator=(1,), hidden=(4,), cross=1, dropout=0.1)
    return TrainedRanker(shape=shape, inputs=inputs, model=model.eval())


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
    # Without operations nothing is written that earlier releases did not write, nor asked for that they did not.
    told = json.loads((tmp_path / "r" / DESCRIPTION).read_text())
    assert set(told) == {"format", "names", "indicator", "hidden", "cross", "dropout"}


def test_operations_are_stored_with_the_ranker(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    operations = tuple(
        Operation.model_validate(operation)
        for operation in (
            {"feature": "b", "do": [{"bucketise": 3}, "one_hot"]},
            {"cross": ["a", "c"], "bins": 2},
            {"weigh": {"a": 0.1, "c": 1 / 3}, "do": ["standardise"]},
        )
    )
    inputs = fit_inputs(x, ("a", "b", "c"), operations)
    torch.manual_seed(0)
    shape = Shape(
        names=("a", "b", "c"),
        indicator=(),
        plain=(0, 2),
        blocks=inputs.blocks,
        operations=operations,
        hidden=(4,),
        cross=1,
        dropout=0.1,
    )
    made = TrainedRanker(shape=shape, inputs=inputs, model=Ranker(inputs.width, (4,), 1, 0.1).eval())
    made.save(tmp_path)
    again = TrainedRanker.load(tmp_path)
    assert again.shape == shape
    assert again.inputs.apply(x).tobytes() == inputs.apply(x).tobytes()
    assert again.score(x).tobytes() == made.score(x).tobytes()
    np.testing.assert_allclose(1 / (1 + np.exp(-made.logits(x))), made.score(x), atol=1e-6)
    path = tmp_path / DESCRIPTION
    told = json.loads(path.read_text())
    for columns, says in (([3], "an operation points at no feature"), ([0, 1], "do not fit their features")):
        told["blocks"][0]["columns"] = columns
        path.write_text(json.dumps(told))
        with pytest.raises(BundleError, match=says):
            TrainedRanker.load(tmp_path)


def test_a_stored_ranker_needs_no_scikit_learn(ranker: TrainedRanker, tmp_path: Path) -> None:
    ranker.save(tmp_path)
    code = (
        "import sys\nsys.modules['sklearn'] = None\n"  # importing it raises ImportError
        "from pathlib import Path\nimport numpy as np\nfrom recsys.ranking.trained import TrainedRanker\n"
        f"print(TrainedRanker.load(Path({str(tmp_path)!r})).score(np.zeros((1, 3), dtype=np.float32)).shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "(1,)\n", done.stderr


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
        ({"seen": {"requests": 1, "label_rate": 0.5, "edges": [[]], "shares": [[1, 0]]}}, "not of 3 features"),
        ({"surprise": 1}, "cannot be read"),
        ({"tasks": [{"behaviour": "click", "weight": 1, "share": 0.5}]}, "do not add up to 1"),
        ({"tasks": [{"behaviour": name, "weight": 1, "share": 0.5} for name in "ba"]}, "order of their names"),
        ({"tasks": [{"behaviour": name, "weight": 1, "share": 0.5} for name in "ab"]}, "do not fit"),
        ({"learned": True}, "do not fit"),
        ({"positions": 2}, "do not fit"),
        ({"positions": 0}, "cannot be read"),
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
