"""The life of a bundle where the registry is a server on PostgreSQL and the files lie in another store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import mlflow
import numpy as np
import pytest

from recsys.config import Settings
from recsys.errors import BundleError, RefusedError, RegistryError
from recsys.registry import moves
from recsys.registry.alias import Decision, rollback
from recsys.registry.bundle import Bundle
from recsys.registry.champion import current
from recsys.registry.client import champion, files_of, version_of
from recsys.registry.compare import Paired
from recsys.registry.consumer import Consumer
from recsys.registry.kept import registry_folder
from recsys.registry.moves import Move
from recsys.registry.promote import fetch, promote
from recsys.registry.retention import prune
from tests.registry.conftest import SETTINGS, MakeBundle, own_mlflow, requests
from tests.registry.remote import BUCKET, Remote, running
from tests.registry.test_moves import together

BATCH = requests("i01", "i02")
Overwrite = Callable[[str, bytes], None]


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def bundles(make_bundle: MakeBundle, tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    return [make_bundle(tmp_path_factory.mktemp("bundles") / f"b{seed}", seed) for seed in range(3)]


@dataclass(frozen=True)
class Site:
    """A registered model of its own, and promoters on machines of their own."""

    model: str
    folder: Path

    def machine(self, name: str) -> Settings:
        names = SETTINGS.registry.model_copy(update={"model": self.model, "experiment": self.model})
        return SETTINGS.model_copy(
            update={"artifacts": str(self.folder / name), "warehouse": str(self.folder), "registry": names}
        )

    def now(self) -> str | None:
        found = champion(self.machine("any").registry)
        return None if found is None else str(found.version)

    def tags(self, version: str) -> dict[str, str]:
        found: dict[str, str] = version_of(self.machine("any").registry, version).tags
        return found


@pytest.fixture
def site(remote: Remote, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    with own_mlflow(), pytest.MonkeyPatch.context() as patch:
        for name, value in remote.environment.items():
            patch.setenv(name, value)
        yield Site("".join(filter(str.isalnum, request.node.name)), tmp_path)


@pytest.fixture(params=["proxy", "objects"])
def overwrite(request: pytest.FixtureRequest, remote: Remote, site: Site) -> Overwrite:
    """Writes into a file of the store, past MLflow: of what the server passes on, or of an S3 bucket itself."""
    if request.param == "proxy":

        def write(uri: str, content: bytes) -> None:
            (remote.files / inside(uri)).write_bytes(content)

        return write
    store = boto3.client("s3", endpoint_url=remote.s3)
    store.create_bucket(Bucket=BUCKET)
    mlflow.create_experiment(f"{site.model}-bundle", artifact_location=f"s3://{BUCKET}/models")

    def put(uri: str, content: bytes) -> None:
        store.put_object(Bucket=BUCKET, Key=inside(uri), Body=content)

    return put


def inside(uri: str) -> str:
    """The path behind `mlflow-artifacts:/` or `s3://BUCKET/`."""
    return uri.removeprefix("mlflow-artifacts:/").removeprefix(f"s3://{BUCKET}/")


def measured(gain: float) -> Paired:
    champion_ = np.linspace(0.1, 0.5, 40)
    return Paired(metric="ndcg@10", challenger=champion_ + gain, champion=champion_, user=np.arange(40))


def step(site: Site, bundle: Bundle, gain: float, machine: str = "night") -> Decision:
    settings = site.machine(machine)
    return promote(bundle.folder, settings, BATCH, lambda *_: measured(gain), registry_folder(settings))


def test_the_whole_life_of_a_bundle(site: Site, bundles: list[Bundle], overwrite: Overwrite, tmp_path: Path) -> None:
    night, operator = site.machine("night"), site.machine("operator")
    first, better, worse = (step(site, one, gain) for one, gain in zip(bundles, (0.0, 0.1, -0.1), strict=True))
    assert [(d.outcome, d.version, d.previous) for d in (first, better, worse)] == [
        ("promoted", "1", None), ("promoted", "2", "1"), ("refused", "3", "2")
    ]  # fmt: skip
    assert site.now() == "2"
    assert (site.tags("2")["bundle"], site.tags("2")["decision.previous"]) == (bundles[1].id, "1")
    assert fetch(night.registry, "2", tmp_path / "back").id == bundles[1].id

    found = current(operator, tmp_path / "kept")
    assert (found.version, found.behind) == ("2", None)
    assert found.bundle.folder.is_relative_to(tmp_path / "kept")
    for answered, expected in zip(
        Consumer(found.bundle).predict(BATCH)["scores"], Consumer(bundles[1]).predict(BATCH)["scores"], strict=True
    ):
        assert answered == pytest.approx(expected, abs=1e-6)

    back = rollback(operator, registry_folder(operator), why="empty lists", by="eve")
    assert (back.version, site.now(), site.tags("2")["decision.outcome"]) == ("1", "1", "rolled back")
    assert current(operator, tmp_path / "kept").version == "1"
    with pytest.raises(RefusedError, match="none to go back to"):
        rollback(operator, registry_folder(operator))
    assert prune(operator, 1) == ["2"]

    where = files_of(night.registry, "1")
    assert where.startswith(("mlflow-artifacts:/", f"s3://{BUCKET}/models"))
    overwrite(f"{where}/data/{bundles[0].folder.name}/items.parquet", b"something else")
    with pytest.raises(BundleError, match=r"Version 1 of '.*' is refused: .*items\.parquet"):
        current(operator, tmp_path / "new")
    assert current(operator, tmp_path / "kept").behind is None  # what was verified before is used


def test_a_rollback_elsewhere_that_was_quicker_is_seen_by_the_night(
    site: Site, bundles: list[Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the night's last look at the alias and its move, an operator with another `artifacts` goes back."""
    for bundle in bundles[:2]:
        step(site, bundle, 0.1)
    real, said = moves.enter, list[dict[str, Any]]()

    def slow(*told: Any) -> bool:
        monkeypatch.setattr(moves, "enter", real)
        said.append(command(site, "rollback", "--reason", "empty lists", "--by", "eve"))
        return real(*told)

    monkeypatch.setattr(moves, "enter", slow)
    decision = step(site, bundles[2], 0.1)
    assert [(one["version"], one["bundle"]) for one in said] == [("1", bundles[0].id)]
    assert (decision.outcome, decision.version, decision.previous) == ("promoted", "3", "1")
    assert [site.tags(version)["decision.previous"] for version in "123"] == ["", "1", "1"]
    assert [site.tags(version)["decision.outcome"] for version in "123"] == ["promoted", "rolled back", "promoted"]
    assert site.now() == "3"


def test_of_many_machines_one_enters_a_move(site: Site, bundles: list[Bundle]) -> None:
    for bundle in bundles[:2]:
        step(site, bundle, 0.1)
    names = site.machine("any").registry
    last, _ = moves.settle(names)
    codes = together(4, lambda place: moves.make(names, Move(number=last + 1, to="12"[place % 2])))
    assert sorted(codes) == [0, 1, 1, 1]
    assert site.now() == "12"[codes.index(0) % 2]


def command(site: Site, *words: str) -> dict[str, Any]:
    """What `python -m recsys.registry` answers in a process of its own, on a machine of its own."""
    more = [f"artifacts={site.folder / 'elsewhere'}", f"registry.model={site.model}"]
    told = [word for pair in more for word in ("--set", pair)]
    done = subprocess.run(
        [sys.executable, "-m", "recsys.registry", words[0], *told, *words[1:]],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_server_that_is_gone_is_named_and_consumers_go_on(
    site: Site, remote: Remote, bundles: list[Bundle], tmp_path: Path
) -> None:
    step(site, bundles[0], 0.0)
    settings = site.machine("operator")
    assert current(settings, tmp_path / "kept").behind is None
    os.killpg(remote.server.pid, signal.SIGKILL)
    remote.server.wait()
    for act in (
        lambda: rollback(settings, registry_folder(settings)),
        lambda: prune(settings, 1),
        lambda: step(site, bundles[1], 0.1),
    ):
        with pytest.raises(RegistryError, match=f"The registry '{remote.url}' did not do what was asked: "):
            act()
    found = current(settings, tmp_path / "kept")
    assert (found.version, found.bundle.id) == ("1", bundles[0].id)
    assert f"The registry '{remote.url}'" in str(found.behind)
    with pytest.raises(RegistryError):
        current(settings, tmp_path / "new")
