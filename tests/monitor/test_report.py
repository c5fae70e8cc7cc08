"""The page: without outside parts, its sections where there is data, its figures those of the data, text escaped."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from recsys.monitor.bootstrap import Interval
from recsys.monitor.measure import RECOMMENDER
from recsys.monitor.report import count, figure, percent, render, write_report
from recsys.monitor.report_data import Bots, Curve, QueryTotals, Range, Recommended, Sample, StageLine
from recsys.monitor.timesplit import ALL, RESULT
from tests.monitor import sample

SECTIONS = ("run", "metrics", "training", "features", "simulator", "samples", "flow")
VOID = {"meta", "br", "link", "img", "hr", "input"}
HARM = "<script>alert('&\"')</script>"


class Page(HTMLParser):
    """What a browser would see: text, ids, targets and table rows. A tag that is not closed is a fault."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "xlink:href", "src", "srcset", "action", "data", "poster"):
                self.targets.append(value or "")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            return
        self.words.append(data)
        if {"td", "th"} & set(self.open) and self.rows:
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def row(self, first: str) -> list[str]:
        """The cells after the first of the only row that begins so."""
        (found,) = (row[1:] for row in self.rows if row and row[0].strip() == first)
        return [" ".join(cell.split()) for cell in found]


@pytest.fixture(scope="module")
def html() -> str:
    return render(sample.data())


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def empty() -> Any:
    bare = RESULT.empty_table()
    nothing: dict[str, Any] = {"facts": {}, "batches": (), "reasons": {}, "metrics": bare, "streaming": None}
    nothing |= {"selection": None}
    nothing |= {"scores": {}, "curves": (), "realism": (), "bots": None, "samples": (), "versions": {}, "flow": ()}
    return replace(sample.data(), **nothing)


def test_the_page_needs_nothing_from_outside(html: str, page: Page) -> None:
    assert all(target.startswith("#") for target in page.targets)
    assert {target[1:] for target in page.targets} <= set(page.ids)  # and no link leads nowhere
    assert set(re.findall(r"https?://[^\"'<>\s]*", html)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert all(place.startswith("#") for place in re.findall(r"url\(\s*[\"']?([^)]*)", html))
    assert not {"script", "link", "iframe", "object", "embed", "img", "base"} & page.tags
    assert "@import" not in html


def test_ids_are_distinct_though_plots_share_a_generator(page: Page) -> None:
    assert len(set(page.ids)) == len(page.ids)


def test_sections_come_with_their_data(page: Page) -> None:
    assert [name for name in page.ids if name in SECTIONS] == list(SECTIONS)


def test_an_empty_page_has_no_empty_sections() -> None:
    bare = Page(render(empty()))
    assert [name for name in bare.ids if name in SECTIONS] == ["run", "flow"]
    assert {target[1:] for target in bare.targets} == {"run", "flow"}
    assert bare.rows == []
    assert "Nobody could be tested on this day" in bare.text


FILLED = sample.data()


@pytest.mark.parametrize(
    ("field", "sections", "word"),
    [
        ("metrics", {"metrics"}, "Lists made before the day"),
        ("selection", {"features"}, "Features left out: 1"),
        ("curves", {"training"}, "Encoder"),
        ("realism", {"simulator"}, "Gini coefficient"),
        ("bots", {"simulator"}, "users were set aside"),
        ("samples", {"samples"}, "Sample recommendations"),
        ("streaming", {"metrics"}, "Lists made at each request"),
        ("facts", set(), "Peak memory"),
        ("batches", set(), "Every input row is accounted for"),
        ("reasons", set(), "Why rows were rejected"),
        ("versions", set(), "Delta versions that were read"),
        ("flow", set(), "jobs/recommend.py"),
    ],
)
def test_each_part_appears_alone(field: str, sections: set[str], word: str) -> None:
    value = {"Peak memory": "3.1 GiB"} if field == "facts" else getattr(FILLED, field)
    alone, without = Page(render(replace(empty(), **{field: value}))), Page(render(empty()))
    assert {name for name in alone.ids if name in SECTIONS} == {"run", "flow"} | sections
    assert word in alone.text
    assert word not in without.text


def test_metrics_are_those_of_the_table(page: Page) -> None:
    rows = {(r["model"], r["slice"], r["metric"]): r for r in FILLED.metrics.to_pylist()}
    own = rows[RECOMMENDER, ALL, "ndcg@10"]
    assert f"NDCG@10 is {own['value']:.3f} (95% interval {own['low']:.3f} to {own['high']:.3f})" in page.text
    assert f"{own['ratio']:.2f} × popularity ({own['ratio_low']:.2f} to {own['ratio_high']:.2f})" in page.text
    assert "over 900 test users" in page.text
    only = Page(render(replace(FILLED, streaming=None)))
    for model in (RECOMMENDER, "popularity", "neighbours only"):
        cells = only.row(model)
        for place, metric in enumerate(("ndcg@10", "recall@10", "recall@20", "hit_rate@10", "coverage@10")):
            assert cells[place].split()[0] == figure(rows[model, ALL, metric]["value"]), (model, metric)
    assert only.row("popularity")[-1] == "1"
    heavy = rows[RECOMMENDER, "heavy users", "ndcg@10"]
    low, high = figure(heavy["low"]), figure(heavy["high"])
    assert only.row("heavy users")[:3] == [
        count(heavy["requests"]),
        count(heavy["users"]),
        f"{figure(heavy['value'])} {low} to {high}",
    ]


def test_every_row_is_accounted_for_on_the_page() -> None:
    lost = QueryTotals(query="q", batches=3, rows_in=1_000_100, accepted=1_000_000, duplicate=50, rejected=43)
    found = Page(render(replace(empty(), batches=(lost,), reasons={"late": 3, "malformed": 40})))
    assert found.row("q") == ["3", "1,000,100", "1,000,000", "50", "43", "7"]
    assert [row[0] for row in found.rows[-2:]] == ["malformed", "late"]  # most frequent first
    assert found.row("malformed") == ["40"]


def test_ranges_say_where_the_value_lies() -> None:
    lines = [
        Range(name=name, value=value, low=1, high=2) for name, value in (("a", 0.5), ("b", 1), ("c", 2), ("d", 2.5))
    ]
    found = Page(
        render(replace(empty(), realism=tuple(lines), bots=Bots(found=97, true=100, precision=0.99, recall=0.5)))
    )
    assert [found.row(name)[-1] for name in "abcd"] == ["below", "inside", "inside", "above"]
    assert found.row("a")[:3] == ["0.500", "1.00", "2.00"]
    assert "97 users were set aside, 100 are bots in truth. Precision 99.0%, recall 50.0%." in found.text


def test_text_is_escaped_everywhere() -> None:
    item = Recommended(name=HARM, score=0.5, source=HARM, reason=HARM)
    harmed = replace(
        FILLED,
        source=HARM,
        bundle=HARM,
        zone=HARM,
        verdict=HARM,
        facts={HARM: HARM},
        batches=(QueryTotals(query=HARM, batches=1, rows_in=1, accepted=1, duplicate=0, rejected=0),),
        reasons={HARM: 1},
        metrics=sample.metrics(HARM, 1),
        streaming=None,
        scores={HARM: Interval(0.5, 0.4, 0.6)},
        curves=(Curve(model=HARM, what=HARM, series=HARM, epochs=(1, 2), values=(1.0, 2.0)),) * 2,
        realism=(Range(name=HARM, value=1, low=0, high=2),),
        samples=(Sample(user=HARM, recent=(HARM,), items=(item,)),),
        versions={HARM: 1},
        flow=(StageLine(name=HARM, job=HARM, reads=(HARM,), writes=(HARM,)),),
    )
    html = render(harmed)
    assert "<script" not in html
    assert "script" not in Page(html).tags
    assert HARM in Page(html).text


def test_the_file_is_the_page_in_utf8(tmp_path: Path) -> None:
    title = Recommended(name="Löffel, 匙", score=0.5, source="popular", reason="")
    told = replace(empty(), samples=(Sample(user="u", recent=(), items=(title,)),))
    write_report(told, tmp_path / "new" / "report.html")
    assert (tmp_path / "new" / "report.html").read_text(encoding="utf-8") == render(told)
    assert "Löffel, 匙" in render(told)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (123.456, "123.5"),
        (1.0, "1.00"),
        (0.12345, "0.123"),
        (0.012345, "0.0123"),
        (0.0, "0.0000"),
        (-0.25, "−0.250"),
        (float("nan"), "–"),
        (None, "–"),
    ],
)
def test_figures(value: float | None, shown: str) -> None:
    assert figure(value) == shown


def test_counts_and_shares() -> None:
    assert (count(1234567.0), count(0), count(None)) == ("1,234,567", "0", "–")
    assert (percent(0.1234), percent(float("nan")), percent(None)) == ("12.3%", "–", "–")
