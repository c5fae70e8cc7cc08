import gzip
import json
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import RefusedError
from recsys.simulate import rows as r
from recsys.simulate.bots import names
from recsys.simulate.settings import SimulateSettings
from recsys.simulate.shop import Shop, open_shop
from recsys.simulate.tastes import today
from recsys.simulate.write import Counts, replace_file, write_catalogue, write_days, write_events, write_truth
from tests.simulate.logs import Event, defect_of, moment, read_lines

LAST = 4


@pytest.fixture(scope="module")
def folder(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    counts = list(write_days(shop, folder, 1, LAST))
    assert [c.day for c in counts] == list(range(1, LAST + 1))
    write_truth(shop, folder)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_same_settings_give_the_same_bytes(small: SimulateSettings, folder: Path, tmp_path: Path) -> None:
    list(write_days(open_shop(small), tmp_path, 1, LAST))
    wanted = {name: data for name, data in content(folder).items() if "days" in name or "events" in name}
    assert content(tmp_path) == wanted
    assert len(wanted) == LAST * (4 + 1)


def test_a_day_alone_has_the_bytes_that_it_has_in_a_range(shop: Shop, folder: Path, tmp_path: Path) -> None:
    list(write_days(shop, tmp_path, 3, 3))
    found = content(tmp_path)
    assert len(found) == 5
    assert found.items() <= content(folder).items()


def test_a_line_lies_in_the_file_of_its_arrival(folder: Path) -> None:
    seen: set[str] = set()
    for name, line in read_lines(folder):
        if defect_of(line) == "bad_json":
            continue
        event = json.loads(line)
        begin = datetime.strptime(name + "+0000", "%Y-%m-%d-%H.json.gz%z")
        sent = moment(event["sent_at"])
        assert sent < begin + timedelta(hours=6)
        assert sent >= begin or event["id"] in seen  # only what is sent again comes later than it says
        seen.add(event["id"])


def told(folder: Path) -> dict[str, dict[str, Any]]:
    return {file.stem: json.loads(file.read_text()) for file in (folder / "truth" / "days").iterdir()}


def sorted_out(folder: Path) -> dict[str, dict[str, Any]]:
    """What an independent reader finds: by date, defects, resends and sound events."""
    accepted: set[str] = set()
    found: dict[str, dict[str, Any]] = {}
    for name, line in read_lines(folder):
        day = found.setdefault(name[:10], {"rejected": Counter(), "duplicate": 0, "sound": list[Event]()})
        if defect := defect_of(line):
            day["rejected"][defect] += 1
            continue
        event = json.loads(line)
        if event["id"] in accepted:
            day["duplicate"] += 1
        else:
            day["sound"].append(event)
            accepted.add(event["id"])
    return found


def test_the_counts_are_those_of_an_independent_reader_and_add_up(shop: Shop, folder: Path) -> None:
    found, counts = sorted_out(folder), told(folder)
    assert sorted(counts) == sorted(found) == ["2025-03-03", "2025-03-04", "2025-03-05", "2025-03-06"]
    bots = names(shop)
    for date, count in counts.items():
        assert count["lines"] == count["accepted"] + count["duplicate"] + sum(count["rejected"].values())
        sound = found[date]["sound"]
        assert count["accepted"] == len(sound) == sum(count["accepted_by_type"].values())
        assert count["duplicate"] == found[date]["duplicate"] > 0
        assert {name: n for name, n in count["rejected"].items() if n} == found[date]["rejected"]
        kinds = Counter(event["type"] for event in sound)
        assert {kind: n for kind, n in count["accepted_by_type"].items() if n} == kinds
        assert count["accepted_of_bots"] == sum(event.get("user") in bots for event in sound)
        assert count["accepted_anonymous"] == sum("user" not in event for event in sound)
    assert set(r.DEFECTS) == {name for day in found.values() for name in day["rejected"]}


def catalogue(shop: Shop, folder: Path, last: int) -> dict[int, list[dict[str, Any]]]:
    """The lines of each item, in the order of their `changed`."""
    count = write_catalogue(shop, folder, last)
    lines = gzip.decompress((folder / "catalogue.jsonl.gz").read_bytes()).decode().splitlines()
    assert len(lines) == count
    found: dict[int, list[dict[str, Any]]] = {}
    for entry in sorted(map(json.loads, lines), key=lambda entry: str(entry["changed"])):
        found.setdefault(int(entry["item"][1:]), []).append(entry)
    return found


def day_of(text: str) -> int:
    return (datetime.fromisoformat(text[:-1]) - datetime(2025, 3, 3)).days + 1


def test_the_catalogue_has_a_line_for_each_change_of_price_or_stock(shop: Shop, tmp_path: Path) -> None:
    last = 40
    found = catalogue(shop, tmp_path, last)
    assert set(found) == set((shop.items.launch <= last).nonzero()[0].tolist())
    held: dict[tuple[int, int], dict[str, Any]] = {}
    for item, entries in found.items():
        days = [day_of(entry["changed"]) for entry in entries]
        assert len(set(days)) == len(days)
        assert days[0] == shop.items.launch[item] == day_of(entries[0]["launched"])
        for entry, since, until in zip(entries, days, [*days[1:], last + 1], strict=True):
            assert list(entry) == [
                "item", "category", "price", "title", "description", "sales", "stock", "launched", "changed"
            ]  # fmt: skip
            assert "|" in entry["category"]
            held |= dict.fromkeys(((item, day) for day in range(max(since, 1), until)), entry)
        states = [(entry["price"], entry["stock"] > 0) for entry in entries]
        assert all(one != other for one, other in pairwise(states))
        assert [entry["sales"] for entry in entries] == sorted(entry["sales"] for entry in entries)
    for day in range(1, last + 1):
        now = today(shop, day)
        for item in (shop.items.launch <= day).nonzero()[0].tolist():
            assert round(held[item, day]["price"] * 100) == now.price[item]
            assert (held[item, day]["stock"] > 0) == now.available[item]


def test_a_later_catalogue_tells_the_same_past(shop: Shop, tmp_path: Path) -> None:
    early, late = catalogue(shop, tmp_path, 10), catalogue(shop, tmp_path, 11)
    for item, entries in early.items():
        assert late[item][: len(entries) - 1] == entries[:-1]
        assert late[item][len(entries) - 1] | {"sales": 0} == entries[-1] | {"sales": 0}


def test_the_truth_names_the_settings_and_the_bots_and_refuses_another_shop(
    shop: Shop, folder: Path, small: SimulateSettings
) -> None:
    assert json.loads((folder / "truth" / "bots.json").read_text()) == names(shop)
    write_truth(shop, folder)  # the same shop again is welcome
    before = content(folder)
    other = open_shop(small.model_copy(update={"seed": 9, "users": 100}))
    with pytest.raises(RefusedError, match="holds another shop: seed 7 is now 9, users 150 is now 100") as caught:
        write_truth(other, folder)
    assert caught.value.exit_code == 4
    assert content(folder) == before


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a" / "b.json.gz"
    replace_file(path, b"old")

    def half(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:1])
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", half)
        with pytest.raises(OSError, match="no space"):
            replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    left = [file.name for file in path.parent.iterdir() if file != path]
    assert all(name.startswith(".") and not name.endswith(".gz") for name in left)
    replace_file(path, b"new")
    assert [file.name for file in path.parent.iterdir()] == ["b.json.gz"]
    assert path.read_bytes() == b"new"


def test_hours_without_a_line_give_an_empty_file(tmp_path: Path) -> None:
    quiet = open_shop(SimulateSettings(users=10, items=100, events_per_day=100, bots=0))
    write_events(quiet, tmp_path / "none.json.gz", r.make_rows(0))
    assert gzip.decompress((tmp_path / "none.json.gz").read_bytes()) == b""
    (counts,) = write_days(quiet, tmp_path, 1, 1)
    assert isinstance(counts, Counts)
    assert counts.lines == len(read_lines(tmp_path))
