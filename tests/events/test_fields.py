"""What a section of a mapping accepts, and the sentence that answers what it does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.config import parse
from recsys.errors import ConfigError
from recsys.events.fields import Catalogue, Format, Identity, Kind, Known, Number, Outlier, Text, Time
from recsys.settings.section import Section

READ_BY_SPARK = ["us-ascii", "iso-8859-1", "utf-8", "utf-16", "utf-16be", "utf-16le", "utf-32"]
# Pieces of datetime patterns, and whether a piece reads a zone.
PIECES = {
    **dict.fromkeys(["HH:mm", "ss.SSS", "EEE", "a"], False),
    **dict.fromkeys(["VV", "z", "O", "XXX", "xx", "Z"], True),
    **dict.fromkeys(["'XZ'", "'o''clock Z'", "''", "'T'"], False),  # text between quotes is read as it stands
}


def faults(section: type[Section], values: dict[str, Any]) -> list[str]:
    try:
        parse(section, values, "shop")
    except ConfigError as error:
        return str(error).splitlines()
    return []


@given(st.sampled_from(READ_BY_SPARK), st.lists(st.booleans(), min_size=10, max_size=10))
def test_a_character_set_may_be_written_in_any_case(name: str, upper: list[bool]) -> None:
    typed = "".join(c.upper() if up else c for c, up in zip(name, upper, strict=False))
    assert Format(type="csv", encoding=typed).encoding == name.upper()


def test_a_character_set_unlike_any_is_answered_with_all_of_them() -> None:
    known = "ISO-8859-1, US-ASCII, UTF-16, UTF-16BE, UTF-16LE, UTF-32, UTF-8"
    assert faults(Format, {"type": "csv", "encoding": "koi"}) == [
        f"shop: encoding is 'koi': Spark does not read this character set. Valid: {known}."
    ]


@pytest.mark.parametrize(
    "form",
    [
        {"type": "csv"},
        {"type": "csv", "header": False, "columns": ["id"]},
        *({"type": name, "header": False} for name in ("json", "parquet", "delta")),
    ],
)
def test_only_a_csv_without_header_needs_its_column_names(form: dict[str, Any]) -> None:
    assert faults(Format, form) == []


@given(st.lists(st.sampled_from(["yyyy", "uu", "dd", "D", "MM", "HH:mm", "'yd'"]), min_size=1, max_size=4))
def test_a_pattern_is_accepted_where_it_names_both_year_and_day(pieces: list[str]) -> None:
    whole = bool({"yyyy", "uu"} & set(pieces)) and bool({"dd", "D"} & set(pieces))
    assert (faults(Time, {"column": "at", "format": "/".join(pieces)}) == []) == whole


@pytest.mark.parametrize("name", ["iso", "epoch_s", "epoch_ms", "epoch_us"])
def test_a_named_format_is_accepted_in_lower_case_only(name: str) -> None:
    assert faults(Time, {"column": "at", "format": name}) == []
    (fault,) = faults(Time, {"column": "at", "format": name.upper()})
    assert fault.endswith("with year and day. Valid: epoch_ms, epoch_s, epoch_us, iso.")


@given(st.lists(st.sampled_from(sorted(PIECES)), max_size=5))
def test_a_pattern_is_zoned_where_a_letter_outside_of_quotes_reads_a_zone(pieces: list[str]) -> None:
    time = Time(column="at", format=" ".join(["yyyy-MM-dd", *pieces]))
    assert time.zoned == any(PIECES[piece] for piece in pieces)


def test_a_time_zone_is_named_exactly_and_a_hint_given_only_where_one_is_near() -> None:
    assert [faults(Time, {"column": "at", "timezone": zone}) for zone in ("UTC", "Asia/Tokyo")] == [[], []]
    (near,), (far,) = (faults(Time, {"column": "at", "timezone": zone}) for zone in ("Asia/tokyo", "?"))
    assert near == "shop: timezone is 'Asia/tokyo': no time zone has this name. Did you mean 'Asia/Tokyo'?"
    assert far == "shop: timezone is '?': no time zone has this name."


@pytest.mark.parametrize(("given_as", "read"), [("keep", "keep"), ("reject", "reject"), (0, 0.0), ("2.5", 2.5)])
def test_a_missing_number_follows_a_policy_or_is_filled_in(given_as: object, read: object) -> None:
    found = Number.model_validate({"column": "p", "missing": given_as}).missing
    assert (found, type(found)) == (read, type(read))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"column": "k"},
        {"column": "k", "values": {"*": "view"}, "constant": "view"},
        {"column": "k", "constant": "view"},
        {"values": {"*": "view"}, "constant": "view"},
    ],
)
def test_a_behaviour_comes_from_one_place(values: dict[str, Any]) -> None:
    assert faults(Kind, values) == ["shop: give either `constant`, or `column` with `values`."]


@pytest.mark.parametrize("key", [True, 1.5])  # YAML reads `yes: view` as True: its text would match no cell
def test_of_unquoted_names_only_whole_numbers_are_read_as_text(key: object) -> None:
    (fault,) = faults(Kind, {"column": "kind", "values": {3: "cart", key: "view"}})
    assert fault.endswith(f"is {key}: Input should be a valid string.")
    assert faults(Kind, {"column": "kind", "values": ["view"]}) == ["shop: values: Input should be a valid dictionary."]


def test_a_value_is_named_once() -> None:
    (fault,) = faults(Kind, {"column": "kind", "values": {3: "cart", "3": "view"}})
    assert "two of the values are the same text" in fault


@pytest.mark.parametrize(
    ("bounds", "fault"),
    [({}, "give `low`, `high` or both"), ({"low": 5, "high": 1}, "`low` 5 lies above `high` 1: every number")],
)
def test_outliers_need_a_range(bounds: dict[str, float], fault: str) -> None:
    assert [found.startswith(f"shop: {fault}") for found in faults(Outlier, bounds)] == [True]
    assert faults(Outlier, {"low": 1, "high": 1}) == []


def test_an_event_is_told_by_an_id_or_by_columns_and_only_these_repeat() -> None:
    assert faults(Identity, {"equal_rows": "repetition"}) == ["shop: give either `column`, or `columns`."]
    assert faults(Identity, {"columns": ["user", "at"], "equal_rows": "repetition"}) == []


@pytest.mark.parametrize(
    ("section", "values", "fault"),
    [
        (Text, {"column": "c", "missing": "drop"}, "missing is 'drop'. Valid: keep, reject."),
        (Outlier, {"action": "cut"}, "action is 'cut'. Valid: clip, missing, reject."),
        (Identity, {"column": "c", "equal_rows": "one"}, "equal_rows is 'one'. Valid: duplicate, repetition."),
        (Number, {"column": "p", "scale": 0}, "scale is 0: Input should be greater than 0."),
        (Known, {"delay_s": -1}, "delay_s is -1: Input should be greater than or equal to 0."),
        (Catalogue, {"format": {"type": "json"}, "price": {"column": "p"}}, "item is missing: add it."),
    ],
)
def test_what_is_no_choice_or_out_of_bounds_is_said(section: type[Section], values: dict[str, Any], fault: str) -> None:
    assert faults(section, values) == [f"shop: {fault}"]
