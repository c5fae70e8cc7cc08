"""The demo's folder and settings, which day comes next, and what a person gets to read."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from recsys import demo, log
from recsys.config import load
from recsys.demo import Narrator, Place, closing, day_of, narrate, newest_busy_day, next_days, prepare
from recsys.errors import ConfigError, NoDataError
from tests.features.oracle import Event
from tests.features.shop import append_events

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAY = date(2025, 4, 1)


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The log of `recsys`, put back afterwards."""
    found = logging.getLogger("recsys")
    before = found.handlers[:], found.level, found.propagate
    yield found
    found.handlers[:], found.level, found.propagate = before


def test_the_shops_settings_lie_below_the_folder_and_can_be_read(tmp_path: Path) -> None:
    place = prepare("simulate", "", tmp_path / "out")
    root = tmp_path.resolve() / "out" / "simulate"
    assert (place.folder, place.simulated, place.conf) == (root, True, root / "conf.yaml")
    settings = load([str(place.conf)], env={})
    assert settings.source == str(root / "shop" / "events") == str(place.shop / "events")
    assert settings.artifacts == str(root / "artifacts") == str(place.artifacts)
    assert (settings.warehouse, settings.checkpoints) == (str(root / "tables"), str(root / "checkpoints"))
    assert settings.pseudonym_key_file == str(root / "pseudonym.key")
    assert Path(settings.mapping).name == "simulate.yaml"
    assert Path(settings.mapping).is_file()
    assert settings.spark["spark.master"] == "local[*]"  # from conf/local.yaml


def test_another_source_reads_its_data_and_keeps_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    place = prepare("globo_clicks", str(tmp_path / "data"), tmp_path / "out")
    assert (place.folder.name, place.simulated) == ("globo_clicks", False)
    assert load([str(place.conf)], env={}).source == str((tmp_path / "data").resolve())


def test_a_mapping_of_ones_own_may_be_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\n")
    monkeypatch.chdir(tmp_path)
    place = prepare("mine.yaml", ".", tmp_path)
    assert (place.folder.name, load([str(place.conf)], env={}).mapping) == (
        "mine",
        str(tmp_path.resolve() / "mine.yaml"),
    )


def test_what_conf_demo_says_of_a_source_wins_over_conf_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "clone"
    for name, text in {
        "sources/simulate.yaml": "",
        "local.yaml": "seed: 1\ntimezone: Europe/Berlin\n",
        "demo/simulate.yaml": "seed: 2\nwarehouse: elsewhere\n",
    }.items():
        (root / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "conf" / name).write_text(text)
    monkeypatch.setattr(demo, "ROOT", root)
    settings = load([str(prepare("simulate", "", tmp_path).conf)], env={})
    assert (settings.seed, settings.timezone) == (2, "Europe/Berlin")
    assert settings.warehouse == str(tmp_path.resolve() / "simulate" / "tables")  # paths are always the folder's


def test_an_unknown_source_and_an_absent_folder_are_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no mapping '.*shop\.yaml'\. Shipped: globo_clicks, .*, simulate, trivago"):
        prepare("shop", "", tmp_path / "out")
    for data in ("", str(tmp_path / "nowhere")):
        with pytest.raises(ConfigError, match=rf"DATA '{data}' is no folder: name the one .* of 'trivago'"):
            prepare("trivago", data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_first_run_makes_a_month_and_each_later_one_a_day(tmp_path: Path) -> None:
    place = Place(tmp_path / "simulate")
    assert next_days(place) == (1, 30)
    folder = place.shop / "truth" / "days"
    folder.mkdir(parents=True)
    for number, wanted in {1: (1, 30), 29: (1, 30), 30: (31, 31), 31: (32, 32)}.items():
        for day in range(number):
            (folder / f"{day_after(day)}.json").touch()
        assert next_days(place) == wanted, number


def day_after(days: int) -> date:
    return date(2025, 3, 3) + timedelta(days=days)


def test_a_day_of_the_shop_has_its_date(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (place.shop / "truth").mkdir(parents=True)
    (place.shop / "truth" / "shop.json").write_text('{"start": "2024-02-28"}')
    assert [day_of(place, number).isoformat() for number in (1, 2, 3)] == ["2024-02-28", "2024-02-29", "2024-03-01"]


@pytest.mark.parametrize(
    ("counts", "wanted"),
    [
        ((8, 8, 4), 2),  # mean 20/3: half of it is 10/3
        ((8, 8, 2, 1), 1),  # mean 19/4: half of it is 19/8
        ((9, 6, 3), 2),  # mean 6: half of it is 3, and 3 is enough
        ((1,), 0),
    ],
)
def test_the_test_day_is_the_newest_that_is_no_thin_tail(
    spark: SparkSession, tmp_path: Path, counts: tuple[int, ...], wanted: int
) -> None:
    from recsys.io import Warehouse

    start = int(datetime(2026, 3, 1, tzinfo=timezone.utc).timestamp()) * 1_000_000
    events = [
        Event(id=f"{day}-{n}", user="u", time=start + (day * 24 + n) * 3_600_000_000, behaviour="view", item="a",
              price=None, quantity=1, value=None)
        for day, count in enumerate(counts)
        for n in range(count)
    ]  # fmt: skip
    warehouse = Warehouse(spark, str(tmp_path))
    append_events(warehouse, events, 0)
    assert newest_busy_day(warehouse) == date(2026, 3, 1 + wanted)


def test_a_log_without_an_event_has_no_test_day(spark: SparkSession, tmp_path: Path) -> None:
    from recsys.io import Warehouse

    warehouse = Warehouse(spark, str(tmp_path))
    append_events(warehouse, [], 0)
    with pytest.raises(NoDataError, match="no event was accepted"):
        newest_busy_day(warehouse)


def test_the_narrator_says_what_people_want_and_every_error(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logger.handlers[:], logger.propagate = [Narrator()], False
    logger.setLevel(logging.INFO)
    log.event(logger, "job starts", job="embed", day="2025-04-01", number=6, of=8)
    log.event(logger, "job ended", job="embed", day="2025-04-01", exit_code=0, seconds=1.5)
    log.event(logger, "decision", outcome="refused", version="2", reason="it was not ahead")
    log.event(logger, "something else", rows=3)
    log.event(logger, "no data at all", logging.ERROR, job="embed", exit_code=3)
    assert capsys.readouterr().err.splitlines() == [
        "[6/8] embed …",
        "      embed: 1.5 s",
        "      version 2: refused, it was not ahead",
        "no data at all",
    ]


def test_narrating_keeps_the_whole_log_in_the_folder(
    logger: logging.Logger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    narrate(Place(tmp_path))
    log.event(logger, "something else", rows=3)
    log.event(logger, "job starts", job="embed", number=6, of=8)
    file = logger.handlers[0]
    assert isinstance(file, logging.StreamHandler)
    file.stream.close()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(line["event"], line.get("rows")) for line in lines] == [("something else", 3), ("job starts", None)]
    assert capsys.readouterr().err == "[6/8] embed …\n"


def row(model: str, metric: str, value: float | None, slice_: str = "all") -> dict[str, Any]:
    return {"model": model, "slice": slice_, "metric": metric, "value": value, "users": 1234}


SUMMARY = {
    "verdict": "Version 2 was refused: it was not ahead.",
    "samples": [
        {
            "user": "3f9ac07d",
            "recent": ["viewed Teapot", "bought Desk", "viewed Mug", "viewed Lamp"],
            "items": [
                {"name": "Kettle " * 9, "score": 0.41249, "source": "neighbours", "reason": "because you viewed"}
            ],
        }
    ],
    "metrics": {
        "frozen": [
            row("recommender", "ndcg@10", 0.12346),
            row("recommender", "recall@20", None),
            row("recommender", "ndcg@10", 0.9, "cold users"),
            row("popularity", "coverage@10", 0.5),
        ],
        "streaming": [],
    },
}


def test_the_closing_text_shows_lists_metrics_and_places(tmp_path: Path) -> None:
    place = Place(tmp_path / "simulate")
    page = place.artifacts / "reports" / "2025-04-01"
    page.mkdir(parents=True)
    (page / "summary.json").write_text(json.dumps(SUMMARY))
    lines = closing(place, DAY).splitlines()
    assert lines[1:3] == [
        "User 3f9ac07d…  newest behaviour: viewed Teapot, bought Desk, viewed Mug",
        "   1. Kettle Kettle Kettle Kettle Kettle Kettle Ke  0.412  because you viewed",
    ]
    assert lines[4] == "Lists made before 2025-04-01 (1,234 test users)"
    assert [line.split() for line in lines[5:8]] == [
        ["ndcg@10", "recall@20", "coverage@10"],
        ["recommender", "0.1235", "–", "–"],
        ["popularity", "–", "–", "0.5000"],
    ]
    assert {len(line) for line in lines[5:8]} == {24 + 3 * 13}  # columns stand below each other
    assert "Lists made at each request of 2025-04-01 (0 test users)" in lines
    assert lines[-4:] == [
        "Version 2 was refused: it was not ahead.",
        f"Report   {page}/report.html",
        f"Tables   {place.folder}/tables",
        f"MLflow   .venv/bin/mlflow ui --backend-store-uri sqlite:///{place.artifacts}/mlflow.db",
    ]
