"""The whole chain through the demo's jobs, on real sources and the simulated shop: accounting, speed, quality."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks._record import ROOT, AbsentError, Figure, Run, main, shared
from recsys.demo import SIMULATE
from recsys.errors import RecsysError
from recsys.monitor.measure import RECOMMENDER
from recsys.monitor.oracle import ORACLE
from recsys.monitor.spark import EVER, FROZEN, ROLLING, WEEK

SOURCES = (SIMULATE, "globo_clicks", "ml_latest_small", "trivago", "uci_online_retail")
COUNTS = {"in": "rows_in", "accepted": "accepted", "duplicate": "duplicate", "rejected": "rejected"}
METRICS = ("ndcg@10", "recall@20", "coverage@10")
UNITS = {"coverage@10": "share of the catalogue"}
PEERS = {"frozen": FROZEN, "streaming": ROLLING}  # lists made before the day; lists made at each request
QUERY = "events"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The benchmark's own options."""
    parser.add_argument("--source", choices=SOURCES, action="append", help="one or more; by default each")
    parser.add_argument("--date", help="test day, YYYY-MM-DD (default: the newest busy one)")
    parser.add_argument("--keep", type=Path, help="folder for tables, models and reports (default: a temporary one)")


def measure(run: Run, asked: argparse.Namespace) -> None:
    """A set of figures a source. Absent sources are named; AbsentError where all are absent."""
    wanted: list[str] = asked.source or (["ml_latest_small"] if asked.quick else list(SOURCES))
    missing = []
    for source in wanted:
        try:
            data = None if source == SIMULATE else shared(source)
        except AbsentError as error:
            print(f"real_run: {source} skipped: {error}", file=sys.stderr)
            missing.append(source)
            continue
        with tempfile.TemporaryDirectory(prefix="recsys-bench-") as name:
            one_source(run, source, data, asked.keep or Path(name), asked.date)
    if missing == wanted:
        raise AbsentError(f"none of {', '.join(wanted)} lies beside the clone.")


def one_source(run: Run, source: str, data: Path | None, out: Path, date: str | None) -> None:
    """Run the demo in a process of its own and read its figures from what it wrote."""
    words = [sys.executable, "-m", "jobs.demo", "--source", source, "--out", str(out)]
    words += ["--data", str(data)] if data else []
    words += ["--date", date] if date else []
    began = time.perf_counter()
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-800:]
        raise RecsysError(f"the chain on {source} ended with {done.returncode}:\n{said}")
    pages = sorted((out / source / "artifacts" / "reports").glob("*/summary.json"))
    if not pages:
        raise RecsysError(f"the chain on {source} wrote no summary: its night did not reach the job `evaluate`.")
    summary = json.loads(pages[-1].read_text(encoding="utf-8"))
    stream = stream_seconds((out / source / "log.jsonl").read_text(encoding="utf-8").splitlines())
    for figure in figures(summary, stream, seconds):
        run.add(replace(figure, more={"source": source, "day": summary["day"], **figure.more}))


def figures(summary: Mapping[str, Any], stream: float, seconds: float) -> Iterator[Figure]:
    """The source's figures from the report's summary; `stream` s of the stream job, `seconds` of the whole chain."""
    totals = next(line for line in summary["batches"] if line["query"] == QUERY)
    rows = int(totals["rows_in"])
    for metric, name in COUNTS.items():
        yield Figure(metric=metric, value=totals[name], unit="rows", rows=rows, seconds=seconds)
    note = "both queries one after the other, session start included"
    yield Figure(
        metric="events_per_s", value=rows / stream, unit="events/s", rows=rows, seconds=stream, more={"note": note}
    )
    for mode, peer in PEERS.items():
        yield from quality(summary["metrics"][mode], mode, peer, rows, seconds)


def quality(found: Sequence[Mapping[str, Any]], mode: str, peer: str, rows: int, seconds: float) -> Iterator[Figure]:
    """Test users and metrics of all users in one mode; `low` and `high` bound the paired difference from the peer."""
    by = {(row["model"], row["metric"]): row for row in found if row["slice"] == "all"}
    if not by:
        return
    users = by[RECOMMENDER, METRICS[0]]["users"]
    yield Figure(metric="test_users", value=users, unit="users", rows=rows, seconds=seconds, more={"mode": mode})
    for metric in METRICS:
        ours = by[RECOMMENDER, metric]
        paired = {"low": ours["difference_low"], "high": ours["difference_high"]}
        for other in (peer, WEEK, EVER, ORACLE):
            if (other, metric) not in by:  # of one mode alone; only the simulated shop has an oracle
                continue
            theirs = by[other, metric]["value"]
            yield Figure(
                metric=metric,
                value=ours["value"],
                unit=UNITS.get(metric, "mean"),
                rows=rows,
                seconds=seconds,
                peer=other,
                peer_value=theirs,
                ratio=ours["value"] / theirs if theirs else None,
                more={"mode": mode, **(paired if other == peer else {}), "users": users},
            )


def stream_seconds(log: Sequence[str]) -> float:
    """What the first stream job of the log took. RecsysError where it has none."""
    for line in log:
        entry = json.loads(line)
        if entry.get("event") == "done" and entry.get("job") == "stream":
            return float(entry["seconds"])
    raise RecsysError("the chain's log names no stream job that ended: events_per_s is unknown.")


if __name__ == "__main__":
    sys.exit(main("real_run", __doc__ or "", measure, threads=2, arguments=arguments))
