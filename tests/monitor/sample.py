"""A filled page of made-up figures, for tests of the report and to look at: `python -m tests.monitor.sample FILE`."""

from __future__ import annotations

import sys
from datetime import date, datetime, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa

from recsys.candidates.ragged import Ragged
from recsys.config import SelectionSettings
from recsys.monitor.bootstrap import Interval
from recsys.monitor.report import write_report
from recsys.monitor.report_data import Bots, Curve, QueryTotals, Range, Recommended, ReportData, Sample, StageLine
from recsys.monitor.timesplit import Requests, finish, partial
from recsys.ranking.selected import Measured, Selected


def metrics(versus: str, seed: int) -> pa.Table:
    """A true evaluation of lists that hold the true item at a random place with a chance that depends on the model."""
    random = np.random.default_rng(seed)
    users, items = 900, 400
    truth = random.integers(0, items, users)
    length = random.integers(0, 40, users)
    chances = {"recommender": 0.34, "neighbours only": 0.26, versus: 0.17, "popularity of 7 days": 0.15}
    lists = {}
    for model, chance in chances.items():
        recommended = np.argsort(random.random((users, items)), axis=1)[:, :20].astype(np.int64)
        hit = random.random(users) < chance
        recommended[hit, np.minimum(random.exponential(5, users).astype(int), 19)[hit]] = truth[hit]
        lists[model] = recommended
    requests = Requests(
        user=np.arange(users, dtype=np.int64),
        truth=Ragged(offsets=np.arange(users + 1, dtype=np.int64), values=truth.astype(np.int64)),
        slices={"cold users": length == 0, "light users": (length > 0) & (length < 20), "heavy users": length >= 20},
        popularity=random.integers(0, 90, items),
        items=tuple(f"i{n}" for n in range(items)),
        in_stock=items,
    )
    return finish([partial(lists, requests, seed=1, resamples=200)], versus)


def curves() -> tuple[Curve, ...]:
    epochs = tuple(range(1, 8))
    fall = tuple(6.1 * 0.9**n + 0.8 for n in epochs)
    return (
        Curve(model="encoder", what="Loss, nats", series="training", epochs=epochs, values=fall),
        Curve(
            model="encoder",
            what="Recall@10, held out",
            series="validation",
            epochs=epochs,
            values=tuple(0.09 * (1 - 0.6**n) for n in epochs),
        ),
        Curve(model="ranker", what="Log loss", series="training", epochs=epochs[:4], values=(0.51, 0.47, 0.455, 0.449)),
        Curve(
            model="ranker", what="Log loss", series="validation", epochs=epochs[:4], values=(0.5, 0.475, 0.466, 0.465)
        ),
        Curve(
            model="ranker",
            what="AUC, held out",
            series="validation",
            epochs=epochs[:4],
            values=(0.7, 0.74, 0.748, 0.75),
        ),
    )


def lists() -> tuple[Sample, ...]:
    kettle = Recommended(
        name="Steel kettle, 1.7 l", score=0.412, source="neighbours", reason="because you viewed Blue teapot"
    )
    lamp = Recommended(
        name="Reading lamp <small>", score=0.31, source="neighbours+popular", reason="because you bought Desk, oak"
    )
    mug = Recommended(name="Mug, white", score=0.19, source="popular", reason="popular in the last day")
    return (
        Sample(user="3f9ac07d11", recent=("viewed Blue teapot", "bought Desk, oak"), items=(kettle, lamp, mug)),
        Sample(user="90bb5e21c4", recent=(), items=(mug, kettle)),
    )


def stages() -> tuple[StageLine, ...]:
    return (
        StageLine(name="events", job="jobs/stream.py", reads=(), writes=("events", "rejected_events", "item_tiles")),
        StageLine(name="profiles", job="jobs/stream.py", reads=("events",), writes=("user_profiles",)),
        StageLine(
            name="recommend", job="jobs/recommend.py", reads=("user_profiles", "items"), writes=("recommendations",)
        ),
    )


def selection() -> Selected:
    features = (
        Measured(
            feature="view_count_7d",
            partner="engaged_count_7d",
            correlation=0.99,
            mutual_information=0.0001,
            chi2=19.2,
            p_value=0.32,
            reason="rank correlation 0.990 with engaged_count_7d",
        ),
        Measured(feature="engaged_count_7d", partner="view_count_7d", correlation=0.99, importance=0.0007),
        Measured(feature="pair_similarity", mutual_information=0.028, chi2=2345.6, p_value=0.0, importance=0.069),
    )
    return Selected(settings=SelectionSettings(by=("correlation", "importance")), features=features)


def data() -> ReportData:
    return ReportData(
        source="simulate",
        day=date(2024, 3, 31),
        zone="UTC",
        made_at=datetime(2024, 4, 1, 2, 5, tzinfo=timezone.utc),
        bundle="0f3c9a77be214d10",
        seed=20171016,
        verdict="The champion moved to version 2: it was ahead in 97% of resamples on the newest slice.",
        facts={"Users": "20,000", "Items in stock": "4,870", "Events": "1,012,345", "Wall time": "5 min 41 s"},
        batches=(
            QueryTotals(query="events", batches=31, rows_in=1042345, accepted=1012345, duplicate=21000, rejected=9000),
            QueryTotals(query="user_profiles", batches=31, rows_in=812345, accepted=812345, duplicate=0, rejected=0),
        ),
        reasons={"malformed": 2100, "too_late": 6300, "missing:item_id": 900},
        metrics=metrics("popularity", 3),
        streaming=metrics("rolling popularity", 4),
        scores={"Ranker AUC, newest slice": Interval(0.751, 0.744, 0.758)},
        curves=curves(),
        selection=selection(),
        realism=(
            Range(name="Gini coefficient of item popularity", value=0.79, low=0.663, high=0.949),
            Range(name="Mean session length", value=4.1, low=2.85, high=11.66),
            Range(name="Repeat rate", value=0.009, low=0.0125, high=0.821),
        ),
        bots=Bots(found=97, true=100, precision=0.99, recall=0.96),
        samples=lists(),
        versions={"events": 31, "user_profiles": 31, "items": 2, "item_features": 30, "recommendations": 1},
        flow=stages(),
    )


if __name__ == "__main__":
    write_report(data(), Path(sys.argv[1]))
