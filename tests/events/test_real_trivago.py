"""The first hotel searches, and all of an unknown hotel: behaviours, lists, requests; pandas is the oracle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys.io import View
from recsys.pseudonyms import pseudonym
from recsys.tables import EVENTS, REJECTED_EVENTS
from tests.events.streaming import KEY, accounting, counted, ingested, settings, shipped

ROWS = 20_000
BEHAVIOURS = {
    "clickout item": "click",
    "interaction item image": "view",
    "interaction item info": "view",
    "interaction item rating": "view",
    "interaction item deals": "view",
    "search for item": "view",
    "search for destination": "search",
    "search for poi": "search",
    "filter selection": "search",
    "change of sort order": "search",
}
Events = list[dict[str, Any]]


@pytest.fixture(scope="module")
def source(shared_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searches")
    rows = pd.read_parquet(shared_data("trivago"))
    rows[(rows.index < ROWS) | (rows["reference"] == "unknown")].to_parquet(folder / "part.parquet")
    return folder


@pytest.fixture(scope="module")
def actions(source: Path) -> pd.DataFrame:
    rows = pd.read_parquet(source)
    shown = rows["impressions"].fillna("").map(lambda text: text.split("|") if text else [])
    nowhere = rows["reference"].eq("unknown") & ~rows["action_type"].map(BEHAVIOURS).eq("search")
    known: pd.DataFrame = rows.assign(behaviour=rows["action_type"].map(BEHAVIOURS), shown=shown, nowhere=nowhere)
    return known


@pytest.fixture(scope="module")
def view(spark: SparkSession, source: Path, tmp_path_factory: pytest.TempPathFactory) -> View:
    return ingested(spark, shipped("trivago"), settings(tmp_path_factory.mktemp("trivago"), source))


@pytest.fixture(scope="module")
def lists(view: View) -> Events:
    """Click-outs and impressions."""
    rows = view.read(EVENTS).where(F.col("behaviour").isin("click", "impression"))
    return list(rows.drop("context", "imputed").toArrow().to_pylist())


def test_all_ten_actions_are_mapped_and_every_row_is_accounted_for(view: View, actions: pd.DataFrame) -> None:
    assert set(actions["action_type"]) == set(BEHAVIOURS)
    bad, impressions = int(actions["nowhere"].sum()), int(actions["shown"].map(len).sum())
    assert bad > 0
    rows_in = len(actions) + impressions
    assert accounting(view) == (rows_in, rows_in - bad, 0, bad)
    expected = Counter(actions.loc[~actions["nowhere"], "behaviour"]) + Counter({"impression": impressions})
    assert counted(view.read(EVENTS), "behaviour") == expected
    assert [row["reasons"] for row in view.read(REJECTED_EVENTS).collect()] == [["missing:item_id"]] * bad


def test_each_click_out_is_a_request_with_its_own_list(lists: Events, actions: pd.DataFrame) -> None:
    clicks = {e["event_id"]: e for e in lists if e["behaviour"] == "click"}
    assert all(click["request_id"] == name for name, click in clicks.items())
    shown: dict[str, list[tuple[int, str, int]]] = {name: [] for name in clicks}
    for event in lists:
        if event["behaviour"] == "impression":
            shown[event["request_id"]].append((event["position"], event["item_id"], event["price_minor"]))
    found = Counter((clicks[n]["session_id"], clicks[n]["item_id"], tuple(sorted(items))) for n, items in shown.items())
    outs = actions[actions["action_type"] == "clickout item"]
    assert outs["session_id"].nunique() < len(outs)  # so that lists of one session could be mixed up
    assert found == Counter(expected_list(row) for row in outs.to_dict("records"))


def expected_list(row: dict[Any, Any]) -> tuple[str, str, tuple[tuple[int, str, int], ...]]:
    prices = [100 * int(price) for price in row["prices"].split("|")]
    places = enumerate(zip(row["shown"], prices, strict=True), 1)
    session = pseudonym(KEY.encode(), row["session_id"])
    return session, row["reference"], tuple((place, item, price) for place, (item, price) in places)


def test_a_list_has_the_moment_user_and_price_of_its_click(lists: Events) -> None:
    clicks = {e["request_id"]: e for e in lists if e["behaviour"] == "click"}
    impressions = [e for e in lists if e["behaviour"] == "impression"]
    same = ("event_time", "user_id", "session_id")
    assert all(e[name] == clicks[e["request_id"]][name] for e in impressions for name in same)
    prices = {(e["request_id"], e["item_id"]): e["price_minor"] for e in impressions}
    assert all(c["price_minor"] == prices.get((r, c["item_id"])) for r, c in clicks.items())


def test_no_session_or_user_is_written_as_it_is(view: View, actions: pd.DataFrame) -> None:
    persons = {*actions["session_id"], *actions["user_id"]}
    ids = view.read(EVENTS).select("user_id", "session_id", "request_id").distinct().collect()
    assert not persons & {value for row in ids for value in row}


def test_searches_have_their_text_as_query(view: View, actions: pd.DataFrame) -> None:
    searches = actions[actions["behaviour"] == "search"]
    rows = view.read(EVENTS).where("behaviour = 'search'")
    assert rows.where("item_id IS NOT NULL").isEmpty()
    expected = Counter(" ".join(text.lower().split()) for text in searches["reference"])
    assert counted(rows, "query") == expected
