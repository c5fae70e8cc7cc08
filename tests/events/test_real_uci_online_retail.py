"""The shop's whole invoices against a computation in pandas from the same files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys.events.catalogue import from_events
from recsys.io import View
from recsys.pseudonyms import pseudonym
from recsys.tables import EVENTS, REJECTED_EVENTS
from tests.events.streaming import KEY, accounting, counted, ingested, settings, shipped

NO_GOODS = ("POST", "D", "DOT", "M", "m", "S", "B", "C2", "CRUK", "PADS", "BANK CHARGES", "AMAZONFEE", "gift_*")
Folder = Callable[[str], Path]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def source(shared_data: Folder) -> Path:
    return shared_data("uci_online_retail")


@pytest.fixture(scope="module")
def lines(source: Path) -> pd.DataFrame:
    """Every line as text, with what must become of it."""
    files = sorted(source.glob("*.csv.gz"))
    rows = pd.concat([pd.read_csv(file, dtype=str, keep_default_na=False) for file in files], ignore_index=True)
    returned = rows["InvoiceNo"].str.startswith("C")
    price, pieces = rows["UnitPrice"].astype(float), rows["Quantity"].astype(int)
    faults = {
        "excluded:item_id": rows["StockCode"].map(lambda code: any(fnmatchcase(code, glob) for glob in NO_GOODS)),
        "out_of_range:price_minor": price < 0,
        "out_of_range:quantity": (pieces < 1) & ~returned,
    }
    marks = pd.DataFrame(dict(sorted(faults.items())))
    reasons = marks.dot(marks.columns + " ").str.strip()
    good = ~marks.any(axis=1)
    known: pd.DataFrame = rows.assign(
        behaviour=returned.map({True: "return", False: "purchase"}),
        reasons=reasons,
        good=good,
        repeated=rows.duplicated(),
        accepted=good & ~rows[good].duplicated().reindex(rows.index, fill_value=False),
        unpriced=price.between(0, 0.005, inclusive="left"),
        minor=(price * 100).round().astype("int64"),
        pieces=pieces.abs(),
        hour=pd.to_datetime(rows["InvoiceDate"]).dt.tz_localize("Europe/London").dt.tz_convert("UTC").dt.hour,
    )
    return known


@pytest.fixture(scope="module")
def view(spark: SparkSession, source: Path, tmp_path_factory: pytest.TempPathFactory) -> View:
    conf = settings(tmp_path_factory.mktemp("uci"), source)
    return ingested(spark, shipped("uci_online_retail"), conf)


def test_the_published_facts_are_those_of_the_files(lines: pd.DataFrame) -> None:
    assert len(lines) == 541_909
    assert (lines["CustomerID"] == "").sum() == 135_080
    assert (lines["behaviour"] == "return").sum() == 9_288
    assert lines["repeated"].sum() == 5_268


def test_every_line_is_accounted_for(view: View, lines: pd.DataFrame) -> None:
    accepted, good = int(lines["accepted"].sum()), int(lines["good"].sum())
    assert accounting(view) == (541_909, accepted, good - accepted, 541_909 - good)
    reasons = counted(view.read(REJECTED_EVENTS).select(F.concat_ws(" ", F.array_sort("reasons")).alias("r")), "r")
    assert reasons == Counter(lines.loc[~lines["good"], "reasons"])


def test_customers_cancellations_and_prices(view: View, lines: pd.DataFrame) -> None:
    accepted = lines[lines["accepted"]]
    events = view.read(EVENTS)
    anonymous = F.col("user_id").isNull().alias("anonymous")
    unknown = F.array_contains("imputed", "price_minor").alias("unknown")
    found = counted(events.select("behaviour", anonymous, unknown), "behaviour", "anonymous", "unknown")
    expected = zip(accepted["behaviour"], accepted["CustomerID"] == "", accepted["unpriced"], strict=True)
    assert found == Counter((b, bool(a), bool(u)) for b, a, u in expected)
    assert events.where(F.col("price_minor").isNull() != unknown).isEmpty()
    sums = events.agg(F.sum(F.col("price_minor") * F.col("quantity")), F.sum("quantity")).first()
    money = (accepted["minor"] * accepted["pieces"])[~accepted["unpriced"]].sum()
    assert sums == (int(money), int(accepted["pieces"].sum()))


def test_local_times_become_utc(view: View, lines: pd.DataFrame) -> None:
    hours = counted(view.read(EVENTS).select(F.hour("event_time").alias("hour")), "hour")
    assert hours == Counter(lines.loc[lines["accepted"], "hour"].tolist())


def test_persons_are_pseudonyms_everywhere(view: View, lines: pd.DataFrame) -> None:
    accepted = lines[lines["accepted"]]
    hashed = {pseudonym(KEY.encode(), c.removesuffix(".0")) for c in accepted["CustomerID"].unique() if c}
    assert {r[0] for r in view.read(EVENTS).select("user_id").distinct().collect() if r[0]} == hashed
    shown = [json.loads(row["raw"]) for row in view.read(REJECTED_EVENTS).select("raw").collect()]
    bad = lines[~lines["good"]]
    for column, end in (("CustomerID", ".0"), ("InvoiceNo", "")):
        expected = Counter(pseudonym(KEY.encode(), c.removesuffix(end)) for c in bad[column] if c)
        assert Counter(row[column] for row in shown if column in row) == expected


def test_returned_pieces_reduce_what_was_sold(view: View, lines: pd.DataFrame) -> None:
    accepted = lines[lines["accepted"]]
    sign = accepted["behaviour"].map({"purchase": 1, "return": -1})
    sold = (accepted["pieces"] * sign).groupby(accepted["StockCode"]).sum().clip(lower=0)
    items = from_events(view.read(EVENTS)).select("item_id", "sales_volume").toPandas()
    assert dict(zip(items["item_id"], items["sales_volume"], strict=True)) == sold.to_dict()
