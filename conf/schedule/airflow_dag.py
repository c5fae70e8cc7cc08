"""The night as an Airflow 3 DAG: copy it into the DAGs' folder of an Airflow whose workers can run spark-submit.

One task runs the whole night: `jobs/nightly.py` knows by itself which jobs are done, and begins at the failed one.
Exit codes: 3 (no data) and 4 (the new bundle was refused) leave the champion as it is and show as skipped; others fail.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

CLONE = "/opt/recsys"
ZONE = "UTC"  # the settings' `timezone`
NIGHTLY = " ".join(
    [
        '"$SPARK_HOME/bin/spark-submit" --master spark://spark-master:7077',
        "--py-files dist/recsys.zip --properties-file conf/cluster.properties jobs/nightly.py",
        "--conf conf/cluster.yaml --conf /etc/recsys/night.yaml",
        "--date {{ data_interval_start.in_timezone('" + ZONE + "').strftime('%Y-%m-%d') }}",
    ]
)

with DAG(
    dag_id="recsys_nightly",
    schedule=CronDataIntervalTimetable("30 2 * * *", timezone=ZONE),  # the interval begins on the day that has ended
    start_date=datetime(2026, 1, 1),
    catchup=False,  # the job catches up missed nights itself
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=15)},
) as dag:
    BashOperator(
        task_id="nightly",
        bash_command=NIGHTLY,
        cwd=CLONE,
        env={"SPARK_HOME": "/opt/spark", "PYSPARK_PYTHON": "/opt/recsys-env/bin/python"},
        append_env=True,
        skip_on_exit_code=[3, 4],
    )
