"""Everything that the report of a day shows, gathered from tables and MLflow. What comes to the driver is bounded."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from recsys.config import Settings
from recsys.io import View
from recsys.monitor.report_data import Curve, QueryTotals, Recommended, Sample
from recsys.registry.alias import named
from recsys.registry.history import Trained, trained
from recsys.tables import BATCHES, EVENTS, ITEMS, RECOMMENDATIONS, REJECTED_EVENTS, USER_PROFILES

SAMPLES = 3
NEWEST = 8  # behaviours shown of a sample user
VERBS = {
    "view": "viewed",
    "search": "searched",
    "click": "clicked",
    "cart": "put in the cart",
    "purchase": "bought",
    "rating": "rated",
}
CURVES = {
    "encoder": {
        "loss": ("loss, nats", "training"),
        "recall": ("held out, among all items", "Recall@10"),
        "ndcg": ("held out, among all items", "NDCG@10"),
        "coverage": ("coverage@10", "validation"),
        "speed": ("sequences a CPU-second", "training"),
    },
    "ranker": {
        "loss": ("log loss", "training"),
        "validation_logloss": ("log loss", "validation"),
        "validation_auc": ("AUC", "validation"),
        "speed": ("examples a second", "training"),
    },
}


def totals(view: View) -> tuple[QueryTotals, ...]:
    """The accounting of the streaming queries: one row each."""
    rows = view.read(BATCHES).where(F.col("rows_in") > 0).groupBy("query")
    counts = ("rows_in", "accepted", "duplicate", "rejected")
    sums = rows.agg(F.count("*").alias("batches"), *(F.sum(name).alias(name) for name in counts))
    return tuple(QueryTotals(**row.asDict()) for row in sums.orderBy("query").collect())  # one row a query


def facts(view: View) -> dict[str, str]:
    """Further lines of the summary: when events begin and end, how many items there are."""
    span = view.read(EVENTS).agg(F.min("event_time").alias("first"), F.max("event_time").alias("last")).first()
    lines = {}
    if span is not None and span["first"] is not None:
        lines = {
            "First event, UTC": f"{span['first']:%Y-%m-%d %H:%M}",
            "Last event, UTC": f"{span['last']:%Y-%m-%d %H:%M}",
        }
    listed = view.read(ITEMS).where(F.col("valid_to").isNull()).agg(F.count("*").alias("n")).first()
    return lines | {"Items in the catalogue": f"{listed['n'] if listed else 0:,}"}


def reasons(view: View) -> dict[str, int]:
    """Rejection reasons and their rows: as many as there are checks."""
    if not view.has(REJECTED_EVENTS):
        return {}
    rows = view.read(REJECTED_EVENTS).select(F.explode("reasons").alias("reason")).groupBy("reason").count()
    return {row["reason"]: row["count"] for row in rows.collect()}  # one row a reason


def curves(settings: Settings, day: date) -> tuple[Curve, ...]:
    """The training curves of the day's runs."""
    found = []
    for model, metrics in CURVES.items():
        series = of_day(settings, model, day).series
        for metric, (what, name) in metrics.items():
            if metric in series:
                epochs, values = series[metric]
                found.append(Curve(model=model, what=what, series=name, epochs=epochs, values=values))
    return tuple(found)


def of_day(settings: Settings, model: str, day: date) -> Trained:
    """What MLflow kept of the model's training for the day."""
    return trained(settings, model, day.isoformat(), tuple(CURVES[model]))


def verdict(settings: Settings, day: date) -> str:
    """One sentence: the alias moved, or why it did not; empty where no bundle challenged."""
    tags = of_day(settings, "ranker", day).tags
    outcome, version, reason = (tags.get(f"decision.{name}", "") for name in ("outcome", "version", "reason"))
    if not outcome:
        return ""
    return f"{named(version)} was {outcome}: {reason}."


def samples(view: View, settings: Settings) -> tuple[Sample, ...]:
    """A few users with their newest behaviours and their lists, by names of items."""
    if not view.has(RECOMMENDATIONS):
        return ()
    titles = view.read(ITEMS).where(F.col("valid_to").isNull()).select("item_id", "title")
    profiles = view.latest(USER_PROFILES, ("recent", "as_of")).where(F.size("recent") >= NEWEST)
    lists = view.latest(RECOMMENDATIONS, ("items",)).where(F.size("items") > 0)
    drawn = lists.join(profiles, "user_id").orderBy(F.desc("as_of"), "user_id").limit(SAMPLES)
    # SAMPLES rows.
    rows = drawn.select("user_id", F.slice("recent", -NEWEST, NEWEST).alias("recent"), "items").collect()
    wanted = {one["item_id"] for row in rows for one in (*row["recent"], *row["items"])}
    names = _titles(titles, wanted)
    return tuple(
        Sample(
            user=row["user_id"][:8],
            recent=tuple(_said(one, names) for one in reversed(row["recent"])),
            items=tuple(
                Recommended(
                    name=names.get(one["item_id"], one["item_id"]),
                    score=one["score"],
                    source=one["source"],
                    reason=one["reason"],
                )
                for one in row["items"][: settings.topn.n]
            ),
        )
        for row in rows
    )


def _titles(titles: DataFrame, wanted: set[str | None]) -> dict[str, str]:
    ids = sorted(item for item in wanted if item is not None)
    rows = titles.where(F.col("item_id").isin(ids)).collect()  # the items of SAMPLES users
    return {row["item_id"]: row["title"] or row["item_id"] for row in rows}


def _said(one: Row, names: dict[str, str]) -> str:
    verb, item = VERBS.get(one["behaviour"], one["behaviour"]), one["item_id"]
    return f"{verb} {names.get(item, item)}" if item else verb
