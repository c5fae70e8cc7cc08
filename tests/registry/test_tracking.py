import mlflow
import pytest

from recsys.config import Settings
from recsys.errors import ConfigError
from recsys.ranking.train import EpochLog
from recsys.registry.tracking import connect, log_curves, log_epoch, run


def epoch(number: int, auc: float) -> EpochLog:
    return EpochLog(
        epoch=number, loss=0.5 / number, validation_logloss=0.4, validation_auc=auc, examples=7, seconds=0.1
    )


def test_a_run_keeps_settings_metrics_plots_and_table_versions(store: Settings) -> None:
    logs = [epoch(1, float("nan")), epoch(2, 0.75)]
    with run(store, "ranker", "full", {"lr": 0.001, "hidden": (64, 32)}, {"examples": 3}) as identity:
        for log in logs:
            log_epoch(log)
        log_curves(logs, ["loss", "validation_auc"])
    client = mlflow.MlflowClient()
    found = client.get_run(identity)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"lr": "0.001", "hidden": "(64, 32)"}
    assert found.data.tags["table.examples"] == "3"
    assert [(m.step, m.value) for m in client.get_metric_history(identity, "loss")] == [(1, 0.5), (2, 0.25)]
    assert [(m.step, m.value) for m in client.get_metric_history(identity, "validation_auc")] == [(2, 0.75)]
    assert "epoch" not in found.data.metrics
    (dataset,) = found.inputs.dataset_inputs
    assert dataset.dataset.name == "examples"
    assert '"delta_table_version": 3' in dataset.dataset.source
    plots = {file.path for file in client.list_artifacts(identity, "plots")}
    assert plots == {"plots/loss.png", "plots/validation_auc.png"}
    assert found.info.artifact_uri is not None
    assert found.info.artifact_uri.startswith("file://")
    assert store.artifacts in found.info.artifact_uri


def test_runs_nest_and_fail_with_their_error(store: Settings) -> None:
    with run(store, "ranker", "outer", {}, {}) as outer, run(store, "encoder", "inner", {}, {}) as inner:
        pass
    client = mlflow.MlflowClient()
    assert client.get_run(inner).data.tags["mlflow.parentRunId"] == outer
    names = [client.get_experiment(client.get_run(one).info.experiment_id).name for one in (outer, inner)]
    assert names == ["recsys-ranker", "recsys-encoder"]
    with pytest.raises(KeyError), run(store, "ranker", "broken", {}, {}) as broken:
        raise KeyError
    assert client.get_run(broken).info.status == "FAILED"


def test_the_environment_wins(store: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    before = mlflow.get_tracking_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    connect(Settings(artifacts="s3://bucket/x"))
    assert mlflow.get_tracking_uri() == before  # MLflow reads the variable itself; connect leaves it alone
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI"):
        connect(Settings(artifacts="s3://bucket/x"))
