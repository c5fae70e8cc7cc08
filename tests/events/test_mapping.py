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
    with pytest.raises(ConfigError, match=r"format\.type is 'xml'\. Valid: csv, delta, json, parquet\."):
        load_mapping(written(tmp_path, GOOD.replace("type: json", "type: xml")))
    with pytest.raises(ConfigError, match=r"nowhere\.yaml' does not exist\. In its folder: shop\."):
        load_mapping(str(tmp_path / "nowhere.yaml"))


def test_behaviour_needs_a_constant_or_values(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"shop\.yaml: behaviour: give either `constant`, or `column` with `values`"):
        load_mapping(written(tmp_path, GOOD.replace("column: kind, values", "values")))


def test_further_behaviours_come_last_so_that_codes_stay(tmp_path: Path) -> None:
    mapping = load_mapping(written(tmp_path, GOOD + "behaviours: {share: {weight: 2}}\n"))
    names = list(merged(Settings(), mapping).behaviours)
    assert names == [*Settings().behaviours, "share"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("type: json", "type: jsn", r"format\.type is 'jsn'\. Did you mean 'json'\?"),
        ("type: json", "type: csv, header: false", r"format: .*needs its column names: add `columns`"),
        ("type: json", "type: csv, encoding: latin1", r"format\.encoding is 'latin1': .*ISO-8859-1"),
        ("column: at", "column: at, format: epoch", r"time\.format is 'epoch': .*Did you mean 'epoch_s'\?"),
        ("column: at", "column: at, timezone: Europe/Londn", r"time\.timezone is .*Did you mean 'Europe/London'\?"),
        (
            "id: {column: id}",
            "id: {column: id, equal_rows: repetition}",
            r"id: `equal_rows: repetition` needs `columns`",
        ),
        ("id: {column: id}", "id: {column: id, columns: [at]}", r"id: give either `column`, or `columns`"),
        ("device: dev", "who: user", r"`context\.who` would keep 'user' as it is, but that names a person"),
        ("item: {", "request: {column: user}\nitem: {", r"`request` would keep 'user' as it is"),
        ("item: {", "price: {column: p, missing: kep}\nitem: {", r"price\.missing is 'kep'\. Did you mean 'keep'\?"),
        ("item: {", "price: {column: p, outliers: [{acton: clip}]}\nitem: {", r"outliers\.0\.acton is not a known key"),
        ("item: {", "value: {column: p}\nvalues: {view: {column: p}}\nitem: {", r"either `value`, or `values`"),
    ],
)
def test_faults_are_sentences_that_name_file_and_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s)^.*shop\.yaml: .*{said}"):
        load_mapping(written(tmp_path, GOOD.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("purchase", "purchas", r"behaviour\.values: behaviour 'purchas' is not declared\. Did you mean 'purchase'\?"),
        ("column: item", "column: item, only_for: [veiw]", r"item_id\.only_for: behaviour 'veiw' is not declared"),
        (
            "item: {",
            "quantity: {column: n, absolute_for: [cat]}\nitem: {",
            r"quantity\.only_for or absolute_for: .*'cat'",
        ),
        ("item: {", "values: {watch: {column: s}}\nitem: {", r"value\.only_for or absolute_for: behaviour 'watch'"),
    ],
)
def test_an_undeclared_behaviour_is_found_before_spark_starts(tmp_path: Path, old: str, new: str, said: str) -> None:
    mapping = load_mapping(written(tmp_path, GOOD.replace(old, new)))
    with pytest.raises(ConfigError, match=rf"^.*shop\.yaml: {said}"):
        merged(Settings(), mapping)


def test_numbers_as_names_of_values_need_no_quotes(tmp_path: Path) -> None:
    mapping = load_mapping(written(tmp_path, GOOD.replace('"3": purchase', "3: purchase")))
    assert mapping.behaviour.values == {"3": "purchase", "*": "view"}


def test_each_behaviour_may_have_its_own_value(tmp_path: Path) -> None:
    text = GOOD + "values: {rating: {column: stars}, watch: {column: s}}\nbehaviours: {watch: {weight: 2}}\n"
    mapping = load_mapping(written(tmp_path, text))
    assert merged(Settings(), mapping).behaviours["watch"].weight == 2
    assert [(n.column, n.only_for) for n in mapping.numbers()["value"]] == [("stars", ("rating",)), ("s", ("watch",))]
    assert ("values.watch.column", "s") in list(mapping.keyed())
