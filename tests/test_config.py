"""Precedence, and faults that name their origin, the key and the nearest valid one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.config import Settings, describe, load, parse, read_yaml
from recsys.errors import ConfigError
from recsys.settings.root import EncoderSettings

BASE = Path(__file__).parents[1] / "conf" / "base.yaml"
NOTHING: dict[str, str] = {}


def written(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_the_base_file_is_the_defaults() -> None:
    assert BASE.read_text(encoding="utf-8") == describe()
    assert load([str(BASE)], env=NOTHING) == Settings() == load(env=NOTHING)


@given(st.lists(st.booleans(), min_size=5, max_size=5))
def test_the_last_of_files_environment_and_assignments_wins(
    tmp_path_factory: pytest.TempPathFactory, given: list[bool]
) -> None:
    folder = tmp_path_factory.mktemp("conf")
    first, second, variable, assigned, again = given
    files = [written(folder, f"{n}.yaml", f"topn: {{n: {n}}}") for n, use in ((1, first), (2, second)) if use]
    env = {"RECSYS__TOPN__N": "3"} if variable else NOTHING
    sets = [f"topn.n={n}" for n, use in ((4, assigned), (5, again)) if use]
    expected = max((n for n, use in enumerate(given, 1) if use), default=10)
    assert load(files, sets, env).topn.n == expected


def test_a_layer_changes_only_what_it_names(tmp_path: Path) -> None:
    file = written(tmp_path, "a.yaml", "encoder: {dim: 32, heads: 4}\nseed: 7\n")
    settings = load([file], ["encoder.heads=8"], {"RECSYS__ENCODER__LENGTH": "9", "UNRELATED": "x"})
    assert settings.encoder == EncoderSettings(dim=32, heads=8, length=9)
    assert (settings.seed, settings.warehouse) == (7, "warehouse")


def test_settings_of_spark_keep_their_dots_and_become_text(tmp_path: Path) -> None:
    file = written(tmp_path, "a.yaml", "spark: {spark.sql.shuffle.partitions: 8, spark.ui.enabled: false}")
    spark = load([file], ["spark.spark.driver.memory=2g", "spark.spark.sql.shuffle.partitions=9"], NOTHING).spark
    assert spark == {
        "spark.sql.shuffle.partitions": "9",
        "spark.ui.enabled": "false",
        "spark.driver.memory": "2g",
    }


def test_an_unknown_key_names_who_set_it_and_the_nearest(tmp_path: Path) -> None:
    good = written(tmp_path, "good.yaml", "topn: {n: 5}")
    file = written(tmp_path, "bad.yaml", "encoder: {dims: 32}\nsede: 1")
    with pytest.raises(ConfigError) as error:
        load([good, file], ["topn.m=1"], {"RECSYS__STREAM__MAX_FILE": "3"})
    lines = str(error.value).splitlines()
    assert len(lines) == 4
    text = str(error.value)
    assert f"{file}: encoder.dims is not a known key. Did you mean 'dim'?" in text
    assert f"{file}: sede is not a known key. Did you mean 'seed'?" in text
    assert "--set topn.m=1: topn.m is not a known key." in text
    assert "RECSYS__STREAM__MAX_FILE: stream.max_file is not a known key. Did you mean 'max_files'?" in text


def test_a_wrong_value_names_who_set_it() -> None:
    with pytest.raises(ConfigError, match=r"--set encoder\.dim=many: encoder\.dim is 'many': .*integer"):
        load([], ["encoder.dim=many"], NOTHING)
    with pytest.raises(ConfigError, match=r"--set encoder\.heads=3: encoder: heads=3 does not divide dim=64\.$"):
        load([], ["encoder.heads=3"], NOTHING)


def test_what_is_no_file_no_mapping_and_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"conf file .*nowhere\.yaml' does not exist"):
        load([str(tmp_path / "nowhere.yaml")], env=NOTHING)
    with pytest.raises(ConfigError, match=r"a\.yaml: the file holds a list"):
        load([written(tmp_path, "a.yaml", "- 1")], env=NOTHING)
    with pytest.raises(ConfigError, match=r"(?s)x: not valid YAML: .*line 1"):
        read_yaml("a: [", "x")
    with pytest.raises(ConfigError, match=r"'topn\.n' has no '='"):
        load([], ["topn.n"], NOTHING)
    with pytest.raises(ConfigError, match=r"--set topn\.n=\[: '\[' is no YAML value"):
        load([], ["topn.n=["], NOTHING)


def test_parse_names_what_is_missing_and_every_fault() -> None:
    with pytest.raises(ConfigError) as error:
        parse(Settings, {"behaviours": {"view": {"wieght": 1}}, "seed": "x"}, "here")
    assert "here: behaviours.view.wieght is not a known key. Did you mean 'weight'?" in str(error.value)
    assert "here: seed is 'x'" in str(error.value)


def test_behaviours_by_role() -> None:
    settings = Settings()
    assert "impression" not in settings.engaged()
    assert settings.targets() == ("click", "cart", "purchase", "rating")
