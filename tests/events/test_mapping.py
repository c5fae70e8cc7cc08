"""A mapping's faults are sentences that name the file, the key and the nearest valid one."""

from pathlib import Path

import pytest

from recsys.config import Settings
from recsys.errors import ConfigError
from recsys.events.mapping import load_mapping, merged

SHIPPED = sorted((Path(__file__).parents[2] / "conf" / "sources").glob("*.yaml"))
GOOD = """
name: shop
format: {type: json}
id: {column: id}
time: {column: at}
behaviour: {column: kind, values: {"3": purchase, "*": view}}
item: {column: item}
user: {column: user}
context: {device: dev}
"""


def written(folder: Path, text: str) -> str:
    path = folder / "shop.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_mappings_load_and_are_named_like_their_file(path: Path) -> None:
    mapping = load_mapping(str(path))
    assert mapping.name == path.stem
    assert mapping.about


def test_columns_are_named_once_and_persons_are_known(tmp_path: Path) -> None:
    mapping = load_mapping(written(tmp_path, GOOD))
    assert mapping.columns() == ("id", "at", "kind", "user", "item", "dev")
    assert mapping.persons() == ("user",)


def test_unknown_key_names_file_key_and_nearest(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace("column: at", "colum: at"))
    with pytest.raises(ConfigError) as error:
        load_mapping(path)
    text = str(error.value)
    assert f"{path}: time.colum is not a known key. Did you mean 'column'?" in text
    assert f"{path}: time.column is missing" in text


def test_bad_format_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"format\.type is 'xml'.*json.*csv"):
        load_mapping(written(tmp_path, GOOD.replace("type: json", "type: xml")))
    with pytest.raises(ConfigError, match=r"nowhere\.yaml' does not exist\. In its folder: shop\."):
        load_mapping(str(tmp_path / "nowhere.yaml"))


def test_behaviour_needs_a_constant_or_values(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="behaviour.*`constant`, or `column` with `values`"):
        load_mapping(written(tmp_path, GOOD.replace("column: kind, values", "values")))


def test_further_behaviours_come_last_so_that_codes_stay(tmp_path: Path) -> None:
    mapping = load_mapping(written(tmp_path, GOOD + "behaviours: {share: {weight: 2}}\n"))
    names = list(merged(Settings(), mapping).behaviours)
    assert names == [*Settings().behaviours, "share"]
