"""The stages: what each reads and writes. Jobs take their contract from here, and so do README and report.

`python -m recsys.flow` prints the diagram of the README.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TypedDict

SOURCE, REGISTRY = "source", "registry"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One job: its name, what it does, the tables and stores that it reads and writes.

    Every stage also keeps `batches`, and may read what it has written itself.
    """

    name: str
    does: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


class Contract(TypedDict):
    """What a job declares."""

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


STAGES: tuple[Stage, ...] = (
    Stage(
        name="stream",
        does="clean, deduplicate, profile, embed",
        reads=(SOURCE, REGISTRY),
        writes=("events", "rejected_events", "item_tiles", "user_profiles", "user_embeddings"),
    ),
    Stage(name="catalogue", does="items over time", reads=(SOURCE, "events"), writes=("items",)),
    Stage(
        name="backfill",
        does="features of items by hour",
        reads=("events", "items"),
        writes=("item_features", "coverage"),
    ),
    Stage(
        name="parity",
        does="stored features beside new ones",
        reads=("events", "items", "item_features", "coverage", "user_profiles"),
        writes=("parity",),
    ),
    Stage(
        name="fold",
        does="newest rows, sums, larger files",
        reads=(),
        writes=("user_profiles", "item_tiles", "events", "rejected_events", "user_embeddings"),  # in other files
    ),
    Stage(
        name="train_encoder",
        does="Transformer on sequences, from the champion's",
        reads=("events", "items", REGISTRY),
        writes=("encoders",),
    ),
    Stage(
        name="train_ranker",
        does="examples, ranker, bundle, challenge",
        reads=("events", "items", "item_features", "user_profiles", "encoders", REGISTRY),
        writes=("item_features", "coverage", "examples", REGISTRY),  # it backfills the days of its labels first
    ),
    Stage(
        name="embed",
        does="vectors on executors",
        reads=("user_profiles", REGISTRY),
        writes=("user_embeddings", "item_embeddings"),
    ),
    Stage(
        name="recommend",
        does="candidates, ranker, Top-N",
        reads=("user_profiles", "events", "items", REGISTRY),
        writes=("recommendations",),
    ),
    Stage(
        name="evaluate",
        does="metrics beside popularity",
        reads=("events", "items", "rejected_events", "user_profiles", "recommendations", REGISTRY),
        writes=("report",),
    ),
)
BY_NAME = {stage.name: stage for stage in STAGES}
NIGHT = tuple(stage.name for stage in STAGES)


def contract(name: str) -> Contract:
    """A stage's contract, as keyword arguments of `job.Job`."""
    stage = BY_NAME[name]
    return Contract(name=name, reads=stage.reads, writes=stage.writes)


def diagram() -> str:
    """The flow as a Mermaid flowchart."""
    lines = ["flowchart LR"]
    stores = dict.fromkeys(store for stage in STAGES for store in (*stage.reads, *stage.writes))
    lines += [f"    {store}[({store})]" for store in stores]
    for stage in STAGES:
        lines.append(f'    {stage.name}_job["<b>{stage.name}</b><br/>{stage.does}"]')
        lines += [f"    {store} --> {stage.name}_job" for store in stage.reads]
        lines += [f"    {stage.name}_job --> {store}" for store in stage.writes]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(diagram())
