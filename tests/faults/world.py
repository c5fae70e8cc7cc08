"""The world of the rounds: a registry in SQLite, a few bundles with known answers, and a journal of every write."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection, connect

import pandas as pd

from recsys.config import Settings
from recsys.registry.bundle import save
from recsys.registry.consumer import Consumer
from recsys.registry.tracking import STORE
from tests.registry.conftest import SETTINGS, encoder, ranker, requests, snapshot

BUNDLES = 4
BATCH: pd.DataFrame = requests("i01", "i02")
Scores = list[list[float]]


@dataclass(frozen=True)
class Entered:
    """A move as the registry's tables have it."""

    to: str
    previous: str | None  # as a promotion says; None: a rollback
    done: bool


@dataclass(frozen=True)
class World:
    """Everything lies below one folder, so that a process of its own finds it, too."""

    folder: Path

    @property
    def settings(self) -> Settings:
        """Settings whose registry is this world's."""
        return SETTINGS.model_copy(
            update={"artifacts": str(self.folder / "artifacts"), "warehouse": str(self.folder), "threads": 1}
        )

    @property
    def bundles(self) -> list[Path]:
        """The folders of the bundles that are promoted in turn."""
        return [self.folder / "bundles" / f"b{seed}" for seed in range(BUNDLES)]

    def make(self) -> dict[str, Scores]:
        """Write the bundles; returns what each answers to BATCH, by its id."""
        (self.folder / "bundles").mkdir(parents=True)
        shared = snapshot()
        made = [save(f, encoder(seed), ranker(seed), shared, SETTINGS, {}) for seed, f in enumerate(self.bundles)]
        return {bundle.id: scores(Consumer(bundle).predict(BATCH)) for bundle in made}

    def use(self, busy_s: float) -> None:
        """Point MLflow at the registry; SQLite waits `busy_s` for a lock."""
        place = self.folder / "artifacts" / STORE
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{place}?timeout={busy_s}"

    def note(self, *words: object) -> None:
        """Append a line to the journal, at once and whole."""
        line = " ".join(map(str, (time.monotonic(), *words))) + "\n"
        file = os.open(self.folder / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)

    def journal(self) -> list[list[str]]:
        """Its lines as words: moment, process, what."""
        return [line.split() for line in (self.folder / "journal").read_text().splitlines()]

    @contextmanager
    def database(self) -> Iterator[Connection]:
        """The registry's SQLite file, past MLflow."""
        with closing(connect(self.folder / "artifacts" / STORE, timeout=30, isolation_level=None)) as opened:
            yield opened

    def alias(self) -> str:
        """The champion's version."""
        with self.database() as opened:
            return str(opened.execute("SELECT version FROM registered_model_aliases").fetchone()[0])

    def tags(self, key: str) -> dict[str, str]:
        """Version -> value of a tag."""
        with self.database() as opened:
            found = opened.execute("SELECT version, value FROM model_version_tags WHERE key = ?", (key,)).fetchall()
        return {str(version): str(value) for version, value in found}

    def moves(self) -> list[Entered]:
        """All moves of the alias in their order."""
        told: dict[str, dict[str, str]] = {}
        with self.database() as opened:
            query = "SELECT name, key, value FROM registered_model_tags WHERE name LIKE '%-move-%' ORDER BY name"
            for name, key, value in opened.execute(query):
                told.setdefault(name, {})[key] = value
        return [
            Entered(to=tags["to"], previous=tags.get(f"told.{tags['to']}.decision.previous"), done="done" in tags)
            for tags in told.values()
        ]

    def disturb(self) -> None:
        """A fault of the registry begins, or ends."""
        with (self.folder / "disturbed").open("a") as file:
            file.write(".")

    def disturbed(self) -> int:
        """How often one began or ended: odd while there is one."""
        place = self.folder / "disturbed"
        return place.stat().st_size if place.exists() else 0


def scores(answers: pd.DataFrame) -> Scores:
    """The scores of each row."""
    return [[float(score) for score in row] for row in answers["scores"]]
