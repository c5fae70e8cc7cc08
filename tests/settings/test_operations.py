"""The short way to write operations, and what is refused."""

import pytest

from recsys.config import RankerSettings, Step, load, parse
from recsys.errors import ConfigError
from recsys.settings.operations import ONE_HOT

SHORT = {
    "operations": [
        {"feature": "a", "do": ["log", {"impute": "median"}, {"bucketise": 4}, "one_hot"]},
        {"concatenate": ["b", "c"], "do": [{"impute": 0}, "l2_normalise"]},
        {"weigh": {"a": 1, "b": 2.5}},
        {"cross": ["a", "b"], "bins": 4, "buckets": 32},
    ]
}


def test_steps_are_names_or_names_with_a_value() -> None:
    first, second, third, fourth = parse(RankerSettings, SHORT, "x").operations
    assert [(step.name, step.value) for step in first.do] == [
        ("log", None),
        ("impute", "median"),
        ("bucketise", 4),
        ("one_hot", ONE_HOT),
    ]
    assert (first.kind, first.names) == ("feature", ("a",))
    assert (second.kind, second.names) == ("concatenate", ("b", "c"))
    assert (third.kind, third.names) == ("weigh", ("a", "b"))
    assert (fourth.kind, fourth.names) == ("cross", ("a", "b"))


def test_what_was_written_out_reads_back_the_same() -> None:
    settings = parse(RankerSettings, SHORT, "x")
    assert parse(RankerSettings, settings.model_dump(mode="json"), "x") == settings
    assert Step.model_validate(Step(name="log")) == Step(name="log")


@pytest.mark.parametrize(
    ("operation", "says"),
    [
        (
            "{feature: a, do: [standardize]}",
            r"operations\.0\.do\.0 .*no step 'standardize'. Did you mean 'stand",
        ),
        ("{feature: a, do: [{bucketise: 1}]}", "whole number from 2 to 256, found 1"),
        ("{feature: a, do: [bucketise]}", "whole number from 2 to 256, found None"),
        ("{feature: a, do: [{hash: 2.5}]}", "from 2 to 4096, found 2.5"),
        ("{feature: a, do: [{impute: often}]}", "mean, median, most_frequent or a number, found 'often'"),
        ("{feature: a, do: [{log: 2}]}", "`log` takes no value, found 2"),
        ("{feature: a, do: [{log: 2, hash: 3}]}", "write a step as"),
        ("{feature: a}", "`feature` needs steps"),
        ("{featur: a}", "Did you mean 'feature'"),
        ("{feature: a, cross: [a, b]}", "one of feature, concatenate, weigh and cross, found"),
        ("{do: [log]}", r"found \[\]"),
        ("{cross: [a, a]}", "two features or more, each once"),
        ("{cross: [a, b], do: [log]}", "instead of `do`"),
        ("{cross: [a, b, c, d, e]}", "at most 4 features"),
        ("{feature: a, do: [log], buckets: 8}", "belong to a cross"),
        ("{weigh: {a: 1, b: .nan}}", "finite"),
    ],
)
def test_faults_are_named(operation: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load([], [f"ranker.operations=[{operation}]"], env={})


def test_the_most_important_features_need_importances() -> None:
    with pytest.raises(ConfigError, match="add importance to `by`"):
        load([], ["ranker.selection={by: [chi2], most: 5}"], env={})
