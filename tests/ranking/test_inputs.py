import numpy as np
import pytest

from recsys.config import Operation
from recsys.errors import BundleError
from recsys.features.history import F32
from recsys.ranking import standardise
from recsys.ranking.fit import fit_inputs
from recsys.ranking.inputs import Inputs

NAMES = ("a", "b", "c")


def some(seed: int = 0) -> F32:
    x = np.random.default_rng(seed).normal(size=(200, 3)).astype(np.float32)
    x[:20, 1] = np.nan
    return x


def test_without_operations_it_is_the_default_treatment_to_the_bit() -> None:
    inputs, default = fit_inputs(some(), NAMES), standardise.fit(some(), NAMES)
    assert inputs.apply(some(1)).tobytes() == default.apply(some(1)).tobytes()
    assert inputs.width == default.inputs == 4
    assert inputs.read.all()
    same = Inputs(names=NAMES, plain=np.arange(3), standardisation=default)
    assert same.apply(some(1)).tobytes() == default.apply(some(1)).tobytes()


def test_operations_take_the_place_of_the_default_or_come_beside_it() -> None:
    scaled = Operation.model_validate({"feature": "b", "do": ["min_max"]})
    inputs = fit_inputs(some(), NAMES, (scaled, Operation(weigh={"a": 1, "b": 1})), dropped=("c",))
    default = standardise.fit(some(), NAMES)
    out = inputs.apply(some(1))
    assert out.dtype == np.float32
    assert out.shape == (200, inputs.width) == (200, 4)  # a; b and whether it is unknown; a + b
    np.testing.assert_array_equal(out[:, 0], default.apply(some(1))[:, 0])
    assert out[:, 1].min() >= 0
    assert out[:, 1].max() <= 1
    assert inputs.read.tolist() == [True, True, False]
    changed = some(1)
    changed[:, 2] = 77
    assert inputs.apply(changed).tobytes() == out.tobytes()


def test_another_width_is_refused() -> None:
    with pytest.raises(BundleError, match="reads 3 features"):
        fit_inputs(some(), NAMES).apply(some()[:, :2])
