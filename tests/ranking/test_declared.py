"""What the features at hand allow."""

import re
from pathlib import Path

import pytest

from recsys.config import RankerSettings, Settings, load
from recsys.errors import ConfigError
from recsys.job import resolved
from recsys.ranking.declared import check_operations, check_tasks, replaced


def declared(operations: str, drop: str = "[]") -> Settings:
    return load([], [f"ranker.operations={operations}", f"ranker.selection.drop={drop}"], env={})


@pytest.mark.parametrize(
    "operations",
    [
        "[]",
        "[{feature: view_count_7d, do: [one_hot]}]",
        "[{feature: is_bot, do: [{hash: 4}]}]",
        "[{feature: price_last, do: [log, {bucketise: 8}, one_hot]}]",
        "[{feature: price_last, do: [{impute: mean}, standardise]}]",
        "[{feature: cart_count_7d, do: [{impute: most_frequent}, one_hot]}]",
        "[{feature: cart_count_7d, do: [{impute: 0}, one_hot]}]",
        "[{concatenate: [view_count_1h, view_count_7d], do: [{impute: 0}, l2_normalise]}]",
        "[{weigh: {view_count_7d: 1, cart_count_7d: 3}, do: [log, {bucketise: 4}, one_hot]}]",
        "[{feature: price_last, do: [log]}, {cross: [price_last, item_price_minor]}]",
    ],
)
def test_what_can_be_applied_is_accepted(operations: str) -> None:
    check_operations(declared(operations))


@pytest.mark.parametrize(
    ("operations", "says"),
    [
        (
            "[{feature: view_count_7, do: [log]}]",
            r"operations\.0: there is no feature 'view_count_7'. Did you m",
        ),
        ("[{cross: [is_bot, item_ctr]}]", "Did you mean 'item_ctr_7d'"),
        (
            "[{feature: price_last, do: [one_hot]}]",
            r"takes whole numbers, and price_last.*put \{bucketise: 8\}",
        ),
        ("[{feature: is_bot, do: [log, {hash: 8}]}]", "`hash` takes whole numbers"),
        ("[{feature: is_bot, do: [{impute: 0.5}, one_hot]}]", "`one_hot` takes whole numbers"),
        ("[{weigh: {view_count_7d: 1, cart_count_7d: 3}, do: [one_hot]}]", "`one_hot` takes whole numbers"),
        ("[{feature: is_bot, do: [one_hot, standardise]}]", "nothing can follow `one_hot`, found `standardise`"),
        ("[{feature: price_last, do: [log, log]}]", "`log` stands there twice"),
        ("[{feature: price_last, do: [{impute: 0}, l2_normalise]}]", "needs a `concatenate` and an `impute`"),
        ("[{concatenate: [price_last, is_bot], do: [l2_normalise]}]", "needs a `concatenate` and an `impute`"),
        ("[{feature: is_bot, do: [one_hot]}, {feature: is_bot, do: [log]}]", "'is_bot' stands in more than one"),
    ],
)
def test_what_cannot_is_refused(operations: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_operations(declared(operations))


def test_the_examples_of_the_page_can_be_applied(tmp_path: Path) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
    blocks = re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 2
    for number, text in enumerate(blocks):
        (tmp_path / f"{number}.yaml").write_text(text, "utf-8")
    settings = load([str(tmp_path / f"{number}.yaml") for number in range(2)], env={})
    check_operations(settings)
    assert len(settings.ranker.operations) == 6
    assert settings.ranker.selection.by == ("correlation", "importance")


def test_features_left_out_by_hand_exist_and_are_used_nowhere() -> None:
    with pytest.raises(ConfigError, match=r"selection\.drop: there is no feature 'is_bott'. Did you mean 'is_bot'"):
        check_operations(declared("[]", "[is_bott]"))
    with pytest.raises(ConfigError, match=r"'is_bot' is used in ranker\.operations"):
        check_operations(declared("[{feature: is_bot, do: [one_hot]}]", "[is_bot]"))


def test_it_is_asked_when_settings_are_resolved() -> None:
    """Before any session."""
    with pytest.raises(ConfigError, match="no feature 'colour'"):
        resolved(declared("[{feature: colour, do: [one_hot]}]"))
    with pytest.raises(ConfigError, match=r"ranker\.tasks: 'clik' is no target"):
        resolved(load([], ["ranker.tasks={clik: 1}"], env={}))


def test_only_features_and_concatenations_take_the_place_of_the_default() -> None:
    operations = declared(
        "[{feature: is_bot, do: [one_hot]}, {cross: [is_bot, age_s]}, {concatenate: [age_s, price_last], do: [log]}]"
    ).ranker.operations
    assert replaced(operations) == ["is_bot", "age_s", "price_last"]


@pytest.mark.parametrize(
    ("tasks", "weights", "says"),
    [
        ({"clik": 1}, "fixed", r"'clik' is no target behaviour. Did you mean 'click'"),
        ({"view": 1}, "fixed", r"'view' is no target behaviour. .*Valid: cart, click, purchase, rating"),
        ({"click": 1, "cart": 2, "rating": 1}, "fixed", "purchase would have no head"),
        ({}, "learned", "need two heads"),
    ],
)
def test_heads_are_those_of_the_target_behaviours(tasks: dict[str, float], weights: str, says: str) -> None:
    values = {"ranker": {"tasks": tasks, "task_weights": weights}}
    settings = Settings.model_validate(values)
    with pytest.raises(ConfigError, match=says):
        check_tasks(settings)
    check_tasks(settings.model_copy(update={"ranker": RankerSettings(tasks=dict.fromkeys(settings.targets(), 1.0))}))
