"""Two nights of a tiny simulated shop, through every job, in one session."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import mlflow
import pytest

from jobs import embed, evaluate
from recsys import flow
from recsys.demo import Place, closing
from recsys.encoder.job import encoders_of, labels_from, read_encoder
from recsys.errors import RecsysError
from recsys.flow import BY_NAME, NIGHT
from recsys.job import Context, run
from recsys.registry.champion import required_champion
from recsys.tables import BATCHES, EXAMPLES, ITEM_EMBEDDINGS, RECOMMENDATIONS, USER_EMBEDDINGS, USER_PROFILES
from tests.nights.night import FIRST, SECOND, Done, Lines, Nights, make, started

if TYPE_CHECKING:
    from mlflow.entities import Run
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def broken(nights: Nights, first: Done) -> tuple[int, list[dict[str, Any]]]:
    """The fifth day arrives; its night breaks at `embed`."""
    make(nights.shop, "5")

    def fails(context: Context) -> None:
        raise RecsysError("the disk is full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embed, "main", fails)
        return nights.run(SECOND)


@pytest.fixture(scope="module")
def second(spark: SparkSession, nights: Nights, broken: object) -> Done:
    """The same night again."""
    code, lines = nights.run(SECOND)
    return Done(code, lines, required_champion(nights.settings), nights.view(spark))


def run_of(nights: Nights, model: str, name: str) -> Run | None:
    found = mlflow.get_experiment_by_name(f"{nights.settings.registry.experiment}-{model}")
    assert found is not None
    runs = mlflow.search_runs([found.experiment_id], f"attributes.run_name = '{name}'", output_format="list")
    assert len(runs) <= 1
    return runs[0] if runs else None


def version_of(nights: Nights, version: str) -> dict[str, str]:
    tags: dict[str, str] = mlflow.MlflowClient().get_model_version(nights.settings.registry.model, version).tags
    return tags


def aliased(nights: Nights) -> str:
    names = nights.settings.registry
    return str(mlflow.MlflowClient().get_model_version_by_alias(names.model, names.alias).version)


def test_the_first_night_runs_every_job_and_crowns_the_first_bundle(nights: Nights, first: Done) -> None:
    assert first.code == 0, [line for line in first.lines if line["level"] != "INFO"]
    assert started(first.lines) == list(NIGHT)
    assert nights.codes(FIRST) == dict.fromkeys(NIGHT, 0)
    (decision,) = (line for line in first.lines if line["event"] == "decision")
    assert (decision["outcome"], decision["version"]) == ("promoted", "1")
    assert version_of(nights, "1")["bundle"] == first.champion.id
    assert first.champion.manifest.parent is None
    assert first.champion.folder.is_relative_to(f"{nights.settings.artifacts}/registry/1")


def test_models_of_the_first_night_know_nothing_of_the_day_nor_the_base_of_the_labels(
    nights: Nights, first: Done
) -> None:
    settings = nights.settings
    base = read_encoder(encoders_of(settings, FIRST).base, FIRST)
    labels, day = (datetime(2025, 3, d, tzinfo=timezone.utc) for d in (5, 6))  # ranker.days is 1
    assert labels_from(base) <= labels < labels_from(first.champion.encoder) <= day
    for name in (f"{FIRST}-base", FIRST.isoformat()):
        found = run_of(nights, "encoder", name)
        assert found is not None
        assert (found.data.params["warm"], found.info.status) == ("False", "FINISHED")
    ranker = run_of(nights, "ranker", FIRST.isoformat())
    assert ranker is not None
    assert ranker.data.params["warm"] == "False"
    assert ranker.data.params["labels_from"] == str(labels_from(base))
    assert ranker.data.params["labels_to"] == str(day)
    assert ranker.data.tags["decision.outcome"] == "promoted"


def test_jobs_read_and_write_what_they_declare(nights: Nights, first: Done) -> None:
    stores = {flow.SOURCE, flow.REGISTRY, "encoders", "report"}
    for name, stage in BY_NAME.items():
        own = {*stage.writes, BATCHES.name}
        # Nobody is the champion before the first night.
        unmade = {"user_embeddings"} if name in {"stream", "fold"} else set()
        assert nights.writes[name] - {BATCHES.name} == set(stage.writes) - stores - unmade, name
        assert nights.reads[name] <= {*stage.reads, *own}, name
        spared = {"events"} if name == "catalogue" else set()  # read only where the source has no catalogue
        assert set(stage.reads) - stores - nights.reads[name] == spared, name


def test_every_table_carries_the_champion(spark: SparkSession, nights: Nights, first: Done, second: Done) -> None:
    found = nights.view(spark)
    for table in (ITEM_EMBEDDINGS, RECOMMENDATIONS):
        rows = found.read(table).groupBy("batch", "bundle").count().orderBy("batch").collect()
        assert [(row["batch"], row["bundle"]) for row in rows] == [(0, first.champion.id), (1, second.champion.id)]
        assert all(row["count"] > 100 for row in rows), table.name


def test_vectors_follow_the_profiles(spark: SparkSession, nights: Nights, first: Done, second: Done) -> None:
    found = nights.view(spark)
    made = found.read(USER_EMBEDDINGS).groupBy("batch", "bundle").count().collect()
    counts = {(row["batch"], row["bundle"]): row["count"] for row in made}
    profiles = {row["batch"]: row["count"] for row in found.read(USER_PROFILES).groupBy("batch").count().collect()}
    # The second day's stream embedded whom it touched with the champion of the first night, in that very batch.
    assert counts[1, first.champion.id] == profiles[1]
    newest = found.latest(USER_PROFILES, ("batch",)).groupBy("batch").count().collect()
    assert {row["batch"]: row["count"] for row in newest} == {
        batch: count for (batch, bundle), count in counts.items() if bundle == second.champion.id
    }


def test_the_report_and_its_summary_are_written(nights: Nights, first: Done, second: Done) -> None:
    for day, done in ((FIRST, first), (SECOND, second)):
        folder = nights.folder / "artifacts" / "reports" / day.isoformat()
        assert done.champion.id in (folder / "report.html").read_text(encoding="utf-8")
        told = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        assert told["bundle"] == done.champion.id
        whole = {(r["model"], r["metric"]): r for r in told["metrics"]["frozen"] if r["slice"] == "all"}
        assert whole["recommender", "ndcg@10"]["users"] > 20
        assert whole["oracle", "ndcg@10"]["value"] > whole["popularity", "ndcg@10"]["value"]
        assert (told["bots"]["true"], len(told["realism"]), len(told["samples"])) == (2, 6, 3)
        assert told["named"]["reasons"] > 0  # how often they are right says nothing of so small a shop's encoder
        assert run_of(nights, "evaluate", day.isoformat()) is not None
    verdict = json.loads((nights.folder / f"artifacts/reports/{FIRST}/summary.json").read_text())["verdict"]
    assert verdict == "Version 1 was promoted: there was no champion."
    text = closing(Place(nights.folder), FIRST)  # what the demo would print
    assert text.count("newest behaviour:") == 3
    assert verdict in text


def test_a_job_that_fails_ends_the_night_and_the_next_run_begins_with_it(
    nights: Nights, broken: tuple[int, list[dict[str, Any]]], second: Done
) -> None:
    code, lines = broken
    assert code == RecsysError.exit_code
    assert started(lines) == list(NIGHT[: NIGHT.index("embed") + 1])
    (error,) = (line for line in lines if line["level"] == "ERROR" and line["job"] == "embed")
    assert error["event"] == "the disk is full"
    assert started(second.lines) == list(NIGHT[NIGHT.index("embed") :])


def test_the_second_night_goes_on_from_the_champion(
    spark: SparkSession, nights: Nights, first: Done, second: Done
) -> None:
    settings = nights.settings
    seen = labels_from(first.champion.encoder)
    encoder, ranker = (run_of(nights, model, SECOND.isoformat()) for model in ("encoder", "ranker"))
    assert encoder is not None
    assert ranker is not None
    assert (encoder.data.params["warm"], ranker.data.params["warm"]) == ("True", "True")
    assert run_of(nights, "encoder", f"{SECOND}-base") is None
    base, grown = (read_encoder(path, SECOND) for path in vars(encoders_of(settings, SECOND)).values())
    assert base.newest == first.champion.encoder.newest
    known = first.champion.encoder.without_guesses().vocabulary.items
    assert grown.vocabulary.items[: len(known)] == known
    day = datetime(2025, 3, 7, tzinfo=timezone.utc)
    assert seen < labels_from(grown) <= day
    assert (ranker.data.params["labels_from"], ranker.data.params["labels_to"]) == (str(seen), str(day))
    new = nights.view(spark).read(EXAMPLES).where(f"at >= TIMESTAMP '{seen:%Y-%m-%d %H:%M:%S.%f} UTC'")
    assert new.count() == int(ranker.data.params["examples"])
    assert int(ranker.data.params["replayed_examples"]) > 0


def test_the_alias_moves_or_the_refusal_says_why(nights: Nights, first: Done, second: Done) -> None:
    ranker = run_of(nights, "ranker", SECOND.isoformat())
    assert ranker is not None
    tags, told = ranker.data.tags, version_of(nights, "2")
    assert tags["decision.version"] == "2"
    assert told["parent"] == first.champion.id
    assert told["decision.previous"] == "1"
    assert told["decision.reason"] == tags["decision.reason"]
    assert "ndcg@10" in tags["decision.reason"]
    ahead = ranker.data.metrics["compare.gain"] > 0 and ranker.data.metrics["compare.ahead"] >= 0.9
    assert tags["decision.outcome"] == told["decision.outcome"] == ("promoted" if ahead else "refused")
    assert aliased(nights) == ("2" if ahead else "1")
    assert second.champion.id == (told["bundle"] if ahead else first.champion.id)
    assert nights.codes(SECOND) == dict.fromkeys(NIGHT, 0) | {"train_ranker": 0 if ahead else 4}
    assert second.code == (0 if ahead else 4)
    assert ahead or "version 1 stays champion" in tags["decision.reason"]


def test_a_day_that_the_champion_has_learned_from_is_refused(nights: Nights, second: Done) -> None:
    handler = Lines()
    logging.getLogger("recsys").handlers[:] = [handler]
    assert run(evaluate.JOB, evaluate.main, ["--conf", nights.conf, "--date", "2025-03-05"]) == 4
    (error,) = (line for line in handler.found if line["level"] == "ERROR")
    assert f"bundle {second.champion.id} has learned from behaviours up to 2025-03-0" in error["event"]
    assert not (nights.folder / "artifacts" / "reports" / "2025-03-05").exists()


def test_a_finished_night_is_not_run_again(spark: SparkSession, nights: Nights, second: Done) -> None:
    before = nights.view(spark).versions
    code, lines = nights.run(SECOND)
    assert (code, started(lines)) == (0, [])
    assert nights.view(spark).versions == before
