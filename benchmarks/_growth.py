"""What a stream leaves behind when nobody folds its tables: bytes, and the time of reading; then the same folded."""

from __future__ import annotations

import statistics
from datetime import timedelta
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from benchmarks._pipeline import Pipeline
from benchmarks._record import FEWEST, Figure, Run, once
from recsys.config import FoldSettings
from recsys.days import yesterday
from recsys.errors import RecsysError
from recsys.features.definitions import profiles_table
from recsys.fold import fold
from recsys.io import View
from recsys.tables import BATCHES


def growth(run: Run, own: Pipeline) -> None:
    """`bytes_per_event` of all tables and logs; `read_all` and `read_one` before a fold beside after it."""
    view = own.warehouse.view()
    counted = view.read(BATCHES).where(F.col("query") == "events").agg(F.sum("accepted"), F.count("*")).first()
    if counted is None or not counted[0]:
        raise RecsysError("the stream accepted no event: nothing can be said about its tables.")
    events, batches = counted
    root = Path(own.settings.warehouse)
    sizes = {folder.name: size_of(folder) for folder in sorted(root.iterdir()) if (folder / "_delta_log").is_dir()}
    figure = Figure(
        metric="bytes_per_event", value=sum(sizes.values()) / events, unit="bytes", rows=events, seconds=0.0
    )
    figure.more.update({"batches": batches, **{f"bytes_{name}": size / events for name, size in sizes.items()}})
    run.add(figure)
    before = reads(view, own)
    took = once(lambda: list(fold(own.warehouse, FoldSettings(), yesterday("UTC") + timedelta(days=2))))
    after = reads(own.warehouse.view(), own)
    for name, seconds in before.items():
        figure = Figure(
            metric=name,
            value=seconds,
            unit="s",
            rows=events,
            seconds=seconds,
            peer="after the fold",
            peer_value=after[name],
            ratio=seconds / after[name],
            more={"batches": batches, "fold_s": round(took, 2), "note": "newest profiles, in a session that was warm"},
        )
        run.add(figure)


def size_of(folder: Path) -> int:
    """Bytes of all files below, Delta's log among them."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def reads(view: View, own: Pipeline) -> dict[str, float]:
    """Seconds to read the newest profile of every user, and of one."""
    profiles = view.latest(profiles_table(own.settings.features))
    row = profiles.select("user_id").first()
    one = profiles.where(F.col("user_id") == F.lit(row["user_id"] if row else ""))
    return {name: median_read(rows) for name, rows in (("read_all", profiles), ("read_one", one))}


def median_read(rows: DataFrame) -> float:
    """Seconds, the median of FEWEST reads."""
    noop = rows.write.format("noop").mode("overwrite")
    return statistics.median(once(noop.save) for _ in range(FEWEST))
