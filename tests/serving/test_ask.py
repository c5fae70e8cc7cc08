from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import RequestError
from recsys.serving.ask import from_fields, from_json
from tests.serving.conftest import CLICK


def test_json_and_fields_say_the_same() -> None:
    told = {"recent": [CLICK], "n": 3, "context": {"device": "phone"}}
    assert from_json(json.dumps(told).encode()) == from_fields(told)
    assert from_json(b'{"user_id": "u"}').recent is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["behaviour", "event_time"]), inner),
    max_leaves=6,
)
FIELDS = st.sampled_from(["recent", "user_id", "n", "at", "context", "x"])


@settings(max_examples=150)
@given(st.dictionaries(FIELDS, VALUES) | VALUES)
def test_any_json_is_understood_or_refused_in_one_sentence(value: object) -> None:
    try:
        ask, said = from_json(json.dumps(value).encode()), ""
    except RequestError as error:
        ask, said = None, str(error)
    if ask is None:
        assert said.endswith(".")
        assert "\n" not in said
    else:
        assert (ask.recent is None) != (ask.user_id is None)


@given(st.binary(max_size=40))
def test_any_bytes_are_refused_in_one_sentence(body: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        from_json(body)
    assert "\n" not in str(caught.value)
