"""Pseudonyms, event ids and requests on small frames; what hides in broken lines."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import Row, SparkSession

from recsys.config import Settings, parse
from recsys.events.identify import hide, identified, normalised, normalised_case, own_ids, row_tally
from recsys.events.mapping import Mapping
from recsys.events.parse import typed
from recsys.events.source import CORRUPT, FILE
from recsys.pseudonyms import pseudonym

KEY = "k" * 32
BASE: dict[str, Any] = {
    "name": "shop",
    "format": {"type": "json"},
    "id": {"columns": ["user", "item", "at"]},
    "time": {"column": "at"},
    "known": {"delay_s": 0},
    "behaviour": {"constant": "click"},
    "item": {"column": "item"},
    "user": {"column": "user"},
    "session": {"column": "session"},
}
NAMES = ("id", "at", "item", "user", "session", "list", CORRUPT, FILE)
GOOD = {"id": "1", "at": "2026-01-01T00:00:00Z", "item": "a", "user": "u1", "session": "s1", FILE: "f"}


def hashed(identity: str) -> str:
    return pseudonym(KEY.encode(), identity)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("key") / "key"
    path.write_text(KEY)
    return str(path)


def events(spark: SparkSession, key: str, changes: dict[str, Any], *rows: dict[str, str | None]) -> list[Row]:
    mapping = parse(Mapping, BASE | changes, "test")
    cells = [tuple((GOOD | row).get(name) for name in NAMES) for row in rows]
    raw = spark.createDataFrame(cells, ", ".join(f"{name} string" for name in NAMES)).coalesce(1)
    found = identified(typed(raw, mapping, Settings()), mapping, key, row_tally(spark.sparkContext))
    return found.collect()


def test_persons_become_pseudonyms_and_rejects_keep_no_id(spark: SparkSession, key: str) -> None:
    good, anonymous, bad, torn, foreign = events(
        spark, key, {}, {}, {"user": ""}, {"at": "never"}, {CORRUPT: '{"user": "u1", "it'}, {CORRUPT: "u1;a"}
    )
    assert (good["user_id"], good["session_id"], good["raw"]) == (hashed("u1"), hashed("s1"), None)
    assert anonymous["user_id"] is None
    assert json.loads(bad["raw"]) == {"user": hashed("u1"), "session": hashed("s1"), "item": "a", "at": "never"}
    assert torn["raw"] == f'{{"user": "{hashed("u1")}", "it'
    assert foreign["raw"] == f"4 characters, {hashed('u1;a')}"
    assert {r["origin"] for r in (good, bad)} == {"shop"}
    assert not [name for name in good.asDict() if name.startswith(("src_", "_"))]


def test_equal_rows_are_one_event_and_unequal_ones_are_not(spark: SparkSession, key: str) -> None:
    rows = events(spark, key, {}, {}, {"session": "other"}, {"item": "b"}, {"user": None}, {"user": ""})
    first, same, *others = (row["event_id"] for row in rows)
    assert first == same
    assert len(first) == 32
    assert len({first, *others}) == 3  # NULL and empty are the same: no user


def test_the_sources_own_id_is_kept(spark: SparkSession, key: str) -> None:
    assert events(spark, key, {"id": {"column": "id"}}, {"id": "e-7"})[0]["event_id"] == "e-7"


def test_repetitions_count_in_their_file(spark: SparkSession, key: str) -> None:
    changes = {"id": {"columns": ["user", "at"], "equal_rows": "repetition"}}
    rows = events(spark, key, changes, {}, {}, {"user": "u2"}, {}, {FILE: "g"})
    ids = [row["event_id"] for row in rows]
    assert ids[1:2] + ids[3:4] == [f"{ids[0]}/2", f"{ids[0]}/3"]
    assert ids[4] == ids[0]  # the same file delivered again brings the same ids
    assert ids[2] not in {ids[0], *ids[1:2]}


def test_unusable_rows_are_nobodys_duplicate(spark: SparkSession, key: str) -> None:
    ids = [row["event_id"] for row in events(spark, key, {}, {"at": "x"}, {"at": "x"}, {})]
    assert len(set(ids)) == 3
    assert [i.startswith("rejected/") for i in ids] == [True, True, False]


@pytest.mark.parametrize("identity", [["user", "at"], ["user", "item", "at"]])
@pytest.mark.parametrize("equal", ["duplicate", "repetition"])
def test_a_list_is_the_request_of_its_row(spark: SparkSession, key: str, identity: list[str], equal: str) -> None:
    changes = {"id": {"columns": identity, "equal_rows": equal}, "expand": {"column": "list"}}
    second: dict[str, str | None] = {"list": "b", "at": "2026-01-01T00:00:01Z"}  # the same session
    rows = events(spark, key, changes, {"list": "a|b"}, second, {"at": "2026-01-01T00:00:02Z"})
    first, other, none = (row["event_id"] for row in rows if row["behaviour"] == "click")
    found = [(r["event_id"], r["request_id"], r["item_id"], r["position"]) for r in rows]
    assert found == [
        (first, first, "a", None),
        (f"{first}#1", first, "a", 1),
        (f"{first}#2", first, "b", 2),
        (other, other, "a", None),
        (f"{other}#1", other, "b", 1),
        (none, None, "a", None),
    ]


def test_two_equal_rows_with_lists_are_two_requests(spark: SparkSession, key: str) -> None:
    changes = {"id": {"columns": ["user"], "equal_rows": "repetition"}, "expand": {"column": "list"}}
    rows = events(spark, key, changes, {"list": "a"}, {"list": "a"})
    first = rows[0]["event_id"]
    assert [r["event_id"] for r in rows] == [first, f"{first}#1", f"{first}/2", f"{first}/2#1"]
    assert [r["request_id"] for r in rows] == [first, first, f"{first}/2", f"{first}/2"]


IDS = st.text(min_size=4, max_size=12).map(lambda text: "\u00b6" + text)  # a letter that pseudonyms do not have


@given(IDS, st.integers(0, 200), st.booleans(), st.permutations(["user", "item", "at"]))
def test_no_torn_line_shows_a_person(identity: str, cut: int, ascii_only: bool, order: list[str]) -> None:
    values = {"user": identity, "item": "a", "at": "now"}
    line = json.dumps({name: values[name] for name in order}, ensure_ascii=ascii_only)[:cut]
    kept = hide(line, ["user"], hashed)
    shown = (identity[:2], json.dumps(identity[:2])[1:-1])
    assert kept is None or not any(part in kept for part in shown)


@pytest.mark.parametrize(
    "line",
    [
        "{'user': 'secret'",
        '{"user": {"id": "secret"',
        '{"user": ["secret"',
        "user=secret",
        '{user: "secret"',
        '["secret"]',
    ],
)
def test_lines_whose_persons_cannot_be_told_are_not_kept(line: str) -> None:
    assert hide(line, ["user"], hashed) is None


def test_a_line_without_persons_is_kept() -> None:
    assert hide('{"item": "a", "at"', ["user"], hashed) == '{"item": "a", "at"'
    assert hide('{"user": 17, "item', ["user"], hashed) == f'{{"user": {hashed("17")}, "item'


def test_ids_of_unusable_rows_count_on_over_the_chunks_of_a_partition() -> None:
    bad, micros = pa.array([True, False, True]), pa.array([7, 7, 7])
    assert own_ids(bad, micros, 2, 0).to_pylist() == ["rejected/7/2/1", None, "rejected/7/2/3"]
    assert own_ids(bad, micros, 2, 3).to_pylist() == ["rejected/7/2/4", None, "rejected/7/2/6"]


def test_queries_are_normalised() -> None:
    assert normalised(pa.array(["  ＲＯＴＥ\t Schuhe ", "ÄÖ", None, ""])).to_pylist() == ["rote schuhe", "äö", None, ""]


@given(st.text(max_size=20))
def test_normalising_is_what_unicode_says(text: str) -> None:
    expected = " ".join(unicodedata.normalize("NFKC", text).split())
    assert normalised_case(pa.array([text, None, text])).to_pylist() == [expected, None, expected]
