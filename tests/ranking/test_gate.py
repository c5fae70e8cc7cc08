from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from recsys.config import GateSettings
from recsys.features.history import F32
from recsys.ranking.gate import FLOOR, Seen, broken, drift, look
from recsys.ranking.train import Examples
from tests.ranking.test_train import examples

NAMES = ("a", "b", "noise")
LIMITS = GateSettings(requests=5, label_rate=2, drift=0.5, features=0.4)  # one of three may have drifted
VALUES = arrays(
    np.float32, st.tuples(st.integers(1, 40), st.just(2)), elements=st.sampled_from([-1, 0, 0.5, 7, np.nan])
)


def told(old: Examples, new: Examples) -> str:
    return broken(look(old.x, old.y, old.request), NAMES, new.x, new.y, new.request, LIMITS)


def test_the_index_is_the_one_of_the_textbook() -> None:
    """A flag that was 1 in half of the examples is now 1 in nine of ten: .4 ln 1.8 + -.4 ln .2."""
    was, now = (np.asarray([[0.0]] * zeros + [[1.0]] * ones, dtype=np.float32) for zeros, ones in ((5, 5), (1, 9)))
    seen = look(was, np.asarray([0, 1] * 5, dtype=np.float32), np.arange(10))
    assert seen.shares == ((0.5, 0.5, 0.0, 0.0),)  # up to 0, up to 1, above, unknown
    assert drift(seen, now)[0] == pytest.approx(0.4 * np.log(0.9 / 0.5) - 0.4 * np.log(0.1 / 0.5))


def test_a_feature_that_went_missing_is_far_off() -> None:
    was, gone = np.ones((4, 1), dtype=np.float32), np.full((4, 1), np.nan, dtype=np.float32)
    seen = look(was, np.asarray([0, 1, 0, 1], dtype=np.float32), np.arange(4))
    assert drift(seen, gone)[0] == pytest.approx(2 * (1 - FLOOR) * np.log(1 / FLOOR))


@given(VALUES)
def test_nothing_drifts_from_itself_and_shares_are_shares(x: F32) -> None:
    seen = look(x, np.asarray([1.0] + [0.0] * len(x), dtype=np.float32), np.arange(len(x)))
    assert drift(seen, x).tolist() == [0.0, 0.0]
    assert drift(seen, x[::-1]).tolist() == [0.0, 0.0]
    assert [sum(shares) for shares in seen.shares] == pytest.approx([1, 1])
    assert Seen.model_validate_json(seen.model_dump_json()) == seen


def test_the_next_day_may_be_learned_from() -> None:
    assert told(examples(0), examples(1)) == ""
    new = examples(1)
    assert broken(None, NAMES, new.x, new.y, new.request, LIMITS) == ""  # nothing is known of the start


def test_too_little_is_refused_whatever_is_known() -> None:
    few = examples(1, 20)
    reason = "4 labelled requests are new, ranker.gate.requests wants 5 at least"
    assert broken(None, NAMES, few.x, few.y, few.request, LIMITS) == reason


def test_another_share_of_positives_is_refused() -> None:
    old, new = examples(0), examples(1)
    rare = replace(new, y=np.where(np.arange(len(new.y)) % 4, 0, new.y).astype(np.float32))
    share = f"{rare.y.mean():.2%} of the new examples are positive, it was {old.y.mean():.2%}: more than the factor 2"
    assert told(old, rare).startswith(share)
    assert "0.00% of the new" in told(old, replace(new, y=np.zeros_like(new.y)))
    assert told(rare, new).endswith("ranker.gate.label_rate")


def test_one_drifted_feature_of_three_is_allowed_and_two_are_not() -> None:
    old, new = examples(0), examples(1)
    one = new.x.copy()
    one[:, 2] = np.nan
    assert told(old, replace(new, x=one)) == ""
    one[:, 0] += 3
    reason = told(old, replace(new, x=one))
    assert reason.startswith("2 of 3 features are distributed otherwise than in the training before (noise ")
    assert reason.endswith("; limit 0.5), ranker.gate.features allows 40%")


def test_what_does_not_fit_is_no_description() -> None:
    seen = look(examples(0).x, examples(0).y, examples(0).request).model_dump()
    with pytest.raises(ValidationError, match="two more than its edges"):
        Seen.model_validate(seen | {"edges": [[]] * 3})
    with pytest.raises(ValidationError, match="ascend"):
        Seen.model_validate(seen | {"edges": [edges[::-1] for edges in seen["edges"]]})
