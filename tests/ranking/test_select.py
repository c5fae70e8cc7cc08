"""Which features go, why, and what the ranker without them is. Importance beside scikit-learn's."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.inspection import permutation_importance

from recsys.config import RankerSettings, parse
from recsys.errors import BundleError, NoDataError
from recsys.ranking.importance import importance
from recsys.ranking.select import BY_HAND, train_selected
from recsys.ranking.start import check_start
from recsys.ranking.train import EpochLog, Examples, train_ranker
from recsys.ranking.trained import TrainedRanker
from recsys.ranking.validation import logloss

NAMES = ("a", "b", "copy", "alone", "noise")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def examples(seed: int = 0, count: int = 4000) -> Examples:
    """The label follows the product of a and b, and `alone`; `copy` is a, a little rounded."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 5)).astype(np.float32)
    y = (random.random(count) < 1 / (1 + np.exp(-3 * x[:, 0] * x[:, 1] - x[:, 3]))).astype(np.float32)
    x[:, 2] = np.round(x[:, 0], 1)
    request = np.arange(count) // 5
    offset = np.where(request % 2, np.log(0.9), 0).astype(np.float32)
    return Examples(x=x, y=y, request=request, at=request * 10**6, user=request, offset=offset)


def ranker(**selection: Any) -> RankerSettings:
    small = {"hidden": [16], "epochs": 8, "batch": 256, "lr": 0.01}
    return parse(RankerSettings, small | {"selection": selection}, "test")


@cache
def chosen(by: tuple[str, ...], **selection: Any) -> tuple[TrainedRanker, list[EpochLog]]:
    return train_selected(examples(), ranker(by=by, **selection), 1, NAMES)


def reasons(found: TrainedRanker) -> dict[str, str]:
    assert found.shape.selection is not None
    return {one.feature: one.reason for one in found.shape.selection.features if one.reason}


def test_off_means_the_same_ranker_to_the_bit() -> None:
    one, _ = train_selected(examples(), ranker(), 1, NAMES)
    two, _ = train_ranker(examples(), ranker(), 1, NAMES)
    assert one.score(examples().x).tobytes() == two.score(examples().x).tobytes()
    assert one.shape == two.shape
    assert one.shape.selection is None


def test_of_two_that_say_the_same_one_goes() -> None:
    (gone,) = reasons(chosen(("correlation",))[0]).items()
    assert gone[0] in {"a", "copy"}
    assert gone[1].startswith("rank correlation 1.000 with ")


def test_figures_of_single_features_miss_a_product_and_importance_sees_it() -> None:
    alone = reasons(chosen(("mutual_information", "chi2"))[0])
    assert set(alone) >= {"noise"}
    assert {"a", "b"} & set(alone)  # each says nothing without the other
    assert "alone" not in alone
    together = reasons(chosen(("correlation", "importance"), importance=0.002)[0])
    assert set(together) - {"a", "copy"} == {"noise"}
    assert together["noise"].startswith("shuffling it costs")


def test_a_feature_that_went_changes_no_score_and_stays_away_after_storing(tmp_path: Path) -> None:
    found, _ = chosen(("correlation", "importance"), importance=0.002)
    data = examples(1)
    other = data.x.copy()
    other[:, [NAMES.index(name) for name in reasons(found)]] = 9
    assert found.score(other).tobytes() == found.score(data.x).tobytes()
    found.save(tmp_path)
    again = TrainedRanker.load(tmp_path)
    assert again.score(data.x).tobytes() == found.score(data.x).tobytes()
    assert again.shape == found.shape
    assert again.names == NAMES  # the plain features that it is given are all of them


def test_the_most_important_ones_stay() -> None:
    found, logs = chosen(("importance",), importance=-1.0, most=2)
    told: list[EpochLog] = []
    again, _ = train_selected(
        examples(), ranker(by=["importance"], importance=-1.0, most=2), 1, NAMES, None, told.append
    )
    assert [log.validation_logloss for log in told] == [log.validation_logloss for log in logs]
    assert len(reasons(found)) == 3
    assert again.score(examples().x).tolist() == found.score(examples().x).tolist()
    assert all("wanted the first 2" in reason for reason in reasons(found).values())
    selected = found.shape.selection
    assert selected is not None
    kept = [one.importance or 0 for one in selected.features if not one.reason]
    lost = [one.importance or 0 for one in selected.features if one.reason]
    assert min(kept) >= max(lost)


def test_only_to_report_leaves_the_ranker_as_it_was() -> None:
    found, _ = chosen(("correlation", "importance"), importance=0.002, apply=False)
    plain, _ = train_ranker(examples(), ranker(), 1, NAMES)
    assert found.score(examples().x).tobytes() == plain.score(examples().x).tobytes()
    assert "noise" in reasons(found)
    assert found.shape.selection is not None
    assert found.shape.selection.dropped == ()


def test_by_hand_needs_no_figures() -> None:
    found, _ = train_selected(examples(), ranker(drop=["noise"]), 1, NAMES)
    assert reasons(found) == {"noise": BY_HAND}
    assert found.inputs.read.tolist() == [True, True, True, True, False]


def test_what_an_operation_names_stays() -> None:
    settings = ranker(by=["mutual_information", "correlation"], mutual_information=10.0).model_dump()
    settings["operations"] = [{"feature": "noise", "do": ["log"]}, {"weigh": {"a": 1, "copy": 1}}]
    found, _ = train_selected(examples(), parse(RankerSettings, settings, "test"), 1, NAMES)
    assert set(reasons(found)) == {"b", "alone"}


def test_nothing_left_is_a_fault() -> None:
    with pytest.raises(NoDataError, match="leaves no feature"):
        train_selected(examples(), ranker(by=["mutual_information"], mutual_information=10.0), 1, NAMES)


def test_an_increment_keeps_the_choice_and_refuses_another() -> None:
    settings = ranker(by=["correlation"])
    start, _ = chosen(("correlation",))
    found, _ = train_selected(examples(2), settings, 1, NAMES, start)
    assert found.shape.seen != start.shape.seen  # what it has learned from last
    assert found.shape.model_copy(update={"seen": start.shape.seen}) == start.shape
    with pytest.raises(BundleError, match=r"other ranker\.selection than the settings have.*--full"):
        train_selected(examples(2), ranker(), 1, NAMES, start)
    operations = parse(RankerSettings, {"operations": [{"feature": "a", "do": ["log"]}]}, "test").operations
    with pytest.raises(BundleError, match=r"ranker\.operations"):
        check_start(start, settings.model_copy(update={"operations": operations}), NAMES)


class AsEstimator(BaseEstimator):  # type: ignore[misc]
    """The ranker as scikit-learn wants it."""

    def __init__(self, ranker: TrainedRanker | None = None) -> None:
        self.ranker = ranker

    def fit(self, x: Any, y: Any) -> "AsEstimator":
        return self


def test_importance_is_that_of_scikit_learn() -> None:
    found, _ = train_ranker(examples(), ranker(), 1, NAMES, dropped=["noise"])
    data = examples(3)

    def score(estimator: AsEstimator, x: Any, y: Any) -> float:
        assert estimator.ranker is not None
        return -logloss(y, 1 / (1 + np.exp(-(estimator.ranker.logits(x) - data.offset))))

    oracle = permutation_importance(AsEstimator(found), data.x, data.y, scoring=score, n_repeats=10, random_state=0)
    ours = importance(found, data.x, data.y, data.offset, 10, 0)
    np.testing.assert_allclose(ours, oracle.importances_mean, atol=0.01)
    assert ours[NAMES.index("noise")] == 0
    assert ours.max() > 0.1
    unchanged = replace(data, x=data.x.copy())
    importance(found, unchanged.x, data.y, data.offset, 1, 0)
    np.testing.assert_array_equal(unchanged.x, data.x)
