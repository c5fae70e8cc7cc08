"""The shipped files of clusters and schedulers: they load, and what they call exists."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from argparse import Namespace
from datetime import date, datetime
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import pytest
import yaml

from jobs import nightly
from recsys import config, session
from recsys.errors import ConfigError, NoDataError, RefusedError
from recsys.job import parser_of

CONF = Path(__file__).resolve().parent.parent / "conf"


def night(command: str) -> Namespace:
    """The options of the night in a command line; SystemExit: it has none like these."""
    words = shlex.split(command, comments=True)
    first = words.index("jobs/nightly.py") + 1
    last = next((n for n in range(first, len(words)) if words[n] in {">>", "||", "&&"}), len(words))
    return parser_of(nightly.JOB).parse_args(words[first:last])


def test_overlays_are_settings() -> None:
    settings = config.load([str(CONF / name) for name in ("cluster.yaml", "gpu.yaml")], env={})
    paths = (settings.warehouse, settings.checkpoints, settings.artifacts)
    assert {path.rpartition("/")[0] for path in paths} == {"file:///mnt/recsys"}
    assert settings.spark["spark.task.resource.gpu.amount"] == "1"


def test_properties_name_the_jars_of_a_local_session() -> None:
    found = session.parse_properties((CONF / "cluster.properties").read_text())
    stack = found.pop("spark.driver.extraJavaOptions")
    assert stack in session.LOCAL["spark.driver.extraJavaOptions"].split()
    assert found == {"spark.jars.packages": ",".join(session.PACKAGES), "spark.jars.excludes": session.EXCLUDES}


def test_image_has_the_versions_that_the_package_pins() -> None:
    setup, image = ((CONF.parent / name).read_text() for name in ("setup.py", "Dockerfile"))
    (spark,), (delta,) = (re.findall(rf'"{name}==([\d.]+)"', setup) for name in ("pyspark", "delta-spark"))
    assert re.findall(r"^FROM apache/spark:([\d.]+)-python3$", image, re.MULTILINE) == [spark]
    assert re.findall(r"delta-spark==([\d.]+)", image) == [delta]


def test_cron_line_calls_the_night() -> None:
    lines = (CONF / "schedule" / "nightly.cron").read_text().splitlines()
    (line,) = [line for line in lines if re.match(r"[\d*]", line)]
    *when, user, _ = line.split(maxsplit=6)
    assert (when, user) == (["30", "2", "*", "*", "*"], "recsys")
    assert "%" not in line  # cron would end the command there
    assert night(line).conf == ["conf/cluster.yaml", "/etc/recsys/night.yaml"]
    assert night(line).date is None


class Recorded:
    """Stands in for Airflow's classes and keeps what they were made with."""

    made: list[tuple[str, dict[str, Any]]]

    def __init__(self, *_: object, **options: Any) -> None:
        self.made.append((type(self).__name__, options))

    def __enter__(self) -> Recorded:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        return None


def recorded(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """The DAG file loaded against the stand-in: class -> options."""
    made: list[tuple[str, dict[str, Any]]] = []
    places = {
        "airflow.providers.standard.operators.bash": "BashOperator",
        "airflow.sdk": "DAG",
        "airflow.timetables.interval": "CronDataIntervalTimetable",
    }
    for module, name in places.items():
        stand_in = ModuleType(module)
        setattr(stand_in, name, type(name, (Recorded,), {"made": made}))
        monkeypatch.setitem(sys.modules, module, stand_in)
    spec = importlib.util.spec_from_file_location("dag", CONF / "schedule" / "airflow_dag.py")
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return dict(made)


def test_dag_calls_the_night_of_the_day_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    made = recorded(monkeypatch)
    command = made["BashOperator"]["bash_command"]
    template = re.search(r"\{\{ (.*) \}\}", command)
    assert template is not None
    start = datetime(2026, 1, 31, 2, 30)

    class Moment:
        def in_timezone(self, zone: str) -> datetime:
            assert zone == "UTC"
            return start

    rendered = eval(template[1], {"data_interval_start": Moment()})
    assert night(command.replace(template[0], rendered)).date == date(2026, 1, 31)
    assert made["BashOperator"]["skip_on_exit_code"] == [NoDataError.exit_code, RefusedError.exit_code]
    assert (made["DAG"]["catchup"], made["DAG"]["max_active_runs"]) == (False, 1)


def test_kubernetes_files_fit_together() -> None:
    parts = {part["kind"]: part for part in yaml.safe_load_all((CONF / "k8s" / "nightly.yaml").read_text())}
    job = parts["CronJob"]["spec"]["jobTemplate"]["spec"]
    (driver,) = job["template"]["spec"]["containers"]
    (command,) = driver["args"]
    assert night(command).conf == ["conf/cluster.yaml", "/etc/recsys/night.yaml"]
    (rule,) = job["podFailurePolicy"]["rules"]
    codes = [error.exit_code for error in (ConfigError, NoDataError, RefusedError)]
    assert (rule["onExitCodes"]["values"], rule["onExitCodes"]["containerName"]) == (codes, driver["name"])
    overlay = yaml.safe_load(parts["ConfigMap"]["data"]["night.yaml"])
    assert config.parse(config.Settings, overlay, "night.yaml").timezone == "UTC"
    image = re.search(r"container\.image=(\S+)", command)
    assert image is not None
    assert image[1] == driver["image"]


@pytest.mark.parametrize("template", ["executor.yaml", "executor-gpu.yaml"])
def test_executor_pods_get_the_volume_and_the_key_of_the_driver(template: str) -> None:
    parts = {part["kind"]: part for part in yaml.safe_load_all((CONF / "k8s" / "nightly.yaml").read_text())}
    (driver,) = parts["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    pod = yaml.safe_load((CONF / "k8s" / template).read_text())["spec"]
    (executor,) = pod["containers"]
    (volume,) = pod["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == parts["PersistentVolumeClaim"]["metadata"]["name"]
    assert executor["volumeMounts"] == [m for m in driver["volumeMounts"] if m["name"] == volume["name"]]
    assert executor["env"] == [e for e in driver["env"] if e["name"] == "RECSYS_PSEUDONYM_KEY"]
