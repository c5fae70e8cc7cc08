"""The consumer's answers, from frames as pandas and as MLflow make them from JSON."""

from __future__ import annotations

import json
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server import infer_and_parse_data

from recsys.config import Settings
from recsys.registry.bundle import Bundle
from recsys.registry.consumer import Consumer, _load_pyfunc
from recsys.registry.request import read_requests
from tests.registry.conftest import ITEMS, SETTINGS, SNAPSHOT_AT, MakeBundle, registered, requests

CLICK = {"behaviour": "click", "item_id": "i01", "event_time": SNAPSHOT_AT - 60_000_000}


@pytest.fixture(scope="module")
def bundle(make_bundle: MakeBundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("consumer") / "b", 1)


@pytest.fixture
def loaded(bundle: Bundle, store: Settings) -> Any:
    """The bundle as MLflow loads it from its registry."""
    version, _ = registered(store, bundle.folder)
    return mlflow.pyfunc.load_model(f"models:/{store.registry.model}/{version}")


def test_answers_equal_the_bundles_own(bundle: Bundle) -> None:
    frame = requests("i01", "i02")
    found = Consumer(bundle).predict(frame)
    records = [{"recent": recent, "at": at} for recent, at in zip(frame["recent"], frame["at"], strict=True)]
    asked = read_requests(records, bundle.manifest.names, bundle.engaged, 256, 3, SNAPSHOT_AT)
    own = bundle.recommend(asked.histories, SNAPSHOT_AT)
    rows = own.items.values.tolist()
    assert [item for row in found["items"] for item in row] == [ITEMS[row] for row in rows]
    assert [score for row in found["scores"] for score in row] == own.score.astype(float).tolist()
    assert [source for row in found["sources"] for source in row] == own.source.to_pylist()
    assert [reason for row in found["reasons"] for reason in row] == own.reason.to_pylist()
    assert [len(row) for row in found["items"]] == [SETTINGS.topn.n] * 2
    assert not {"i01", "i02", "i07"} & {item for row in found["items"][:1] for item in row}  # seen, seen, sold out
    assert set(found["bundle"]) == {bundle.id}
    assert found["snapshot_age"].tolist() == [0.0, 0.0]


def test_each_row_gets_as_many_items_as_it_asks_for_at_its_own_time(bundle: Bundle) -> None:
    hour = 3_600_000_000
    frame = pd.DataFrame({"recent": [[CLICK], [CLICK], []], "n": [1, None, 5], "at": [SNAPSHOT_AT + hour] * 3})
    found = Consumer(bundle).predict(frame)
    assert [len(row) for row in found["items"]] == [1, SETTINGS.topn.n, 5]
    assert found["items"][0] == found["items"][1][:1]
    assert found["snapshot_age"].tolist() == [3600.0] * 3


def test_no_row_no_answer(bundle: Bundle) -> None:
    found = Consumer(bundle).predict(requests("i01").head(0))
    assert (len(found), list(found.columns)) == (0, ["items", "scores", "sources", "reasons", "bundle", "snapshot_age"])


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"recent": [CLICK | {"behaviour": "clik"}]}, "Row 0: behaviour 'clik' is unknown. Did you mean 'click'"),
        ({"recent": [CLICK], "at": SNAPSHOT_AT - 120_000_000}, "lies after `at`"),
        ({"recent": [], "n": 0}, r"Row 0, n: "),
    ],
)
def test_faults_are_ones_that_http_answers_with_400(bundle: Bundle, row: dict[str, Any], says: str) -> None:
    with pytest.raises(MlflowException, match=says) as caught:
        Consumer(bundle).predict(pd.DataFrame([row]))
    assert caught.value.get_http_status_code() == 400
    assert "\n" not in caught.value.message


def bodies() -> list[dict[str, Any]]:
    """The same two requests in each form that MLflow's server takes; one lacks what the other has."""
    seen = CLICK | {"price_minor": 100, "event_time": "2025-10-09T08:52:20Z"}
    rows = [
        {"recent": [seen, CLICK | {"item_id": "i02"}], "n": 2, "at": SNAPSHOT_AT},
        {"recent": [CLICK | {"item_id": "i03", "value": 0.5}], "at": SNAPSHOT_AT},
    ]
    split = {"columns": ["recent", "n", "at"], "data": [[row.get(c) for c in ("recent", "n", "at")] for row in rows]}
    return [{"dataframe_records": rows}, {"dataframe_split": split}]


@pytest.mark.parametrize("form", [0, 1])
def test_what_mlflow_makes_of_json_is_understood(bundle: Bundle, loaded: Any, form: int) -> None:
    body = json.loads(json.dumps(bodies()[form]))
    found = loaded.predict(infer_and_parse_data(body, loaded.metadata.get_input_schema()))
    again = Consumer(bundle).predict(pd.DataFrame(bodies()[0]["dataframe_records"]))
    assert [len(row) for row in found["items"]] == [2, SETTINGS.topn.n]
    for name in again.columns:
        assert found[name].tolist() == again[name].tolist(), name


def test_mlflow_refuses_rows_of_another_shape(loaded: Any) -> None:
    for frame in (pd.DataFrame({"history": [[]]}), pd.DataFrame({"recent": [[{"behaviour": "click"}]]})):
        with pytest.raises(MlflowException, match="schema") as caught:
            loaded.predict(frame)
        assert caught.value.get_http_status_code() == 400


def test_a_loaded_model_has_its_index_ready(bundle: Bundle) -> None:
    again = _load_pyfunc(str(bundle.folder))
    assert "index" in vars(again.bundle)
    assert again.bundle.id == bundle.id
    np.testing.assert_array_equal(again.bundle.index.vectors, bundle.index.vectors)
