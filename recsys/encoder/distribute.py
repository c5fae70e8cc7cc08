"""One training by several processes on executors, through PySpark's TorchDistributor."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.ml.torch.distributor import TorchDistributor
from pyspark.sql import SparkSession

import recsys
from recsys.encoder.order import Begin, Order, placed, raise_fault, told
from recsys.encoder.progress import EpochLog
from recsys.errors import ConfigError
from recsys.log import event

TAG = "recsys-encoder"
POLL_S = 0.5  # between two looks at what the first process has written
PATIENCE_S = 60.0  # for executors that are yet to come
GPUS = "spark.task.resource.gpu.amount"
log = logging.getLogger(__name__)


def distribute(spark: SparkSession, order: Order, begin: Begin, on_epoch: Callable[[EpochLog], None]) -> list[EpochLog]:
    """`order.carry_out` by `encoder.processes` processes, one for each task slot; `on_epoch` is told as they go on.

    Where one of them dies, all are started again, so long as an epoch was finished since the last start, and go on
    after it. Executors need PyTorch and this package, and see the order's files.

    Raises ConfigError: the cluster has fewer slots than processes, or gives tasks no GPU of their own where
    encoder.device is cuda. Raises as `order.carry_out` as well.
    """
    gpus = on_gpus(spark, order.encoder.device)
    require_slots(spark, order.encoder.processes, PATIENCE_S)
    logging.getLogger("TorchDistributor").addHandler(logging.NullHandler())  # it would write plain lines into our log
    distributor = TorchDistributor(num_processes=order.encoder.processes, local_mode=False, use_gpu=gpus)
    folder, known = order.checkpoint.with_suffix(".ranks"), list[EpochLog]()

    def go() -> None:
        spark.addTag(TAG)
        distributor.run(_by_value(_shipped(spark), str(folder)))

    with placed(order, begin, folder):
        while True:
            before = len(known)
            try:
                _follow(spark, go, folder, known, on_epoch)
                break
            except (PySparkException, Py4JError) as error:  # Spark itself repeats no stage of this kind
                raise_fault(folder)
                if len(known) == before:
                    raise
                why = str(error).strip().splitlines()[0]
                event(log, "a process died, all start again", logging.WARNING, epochs=len(known), why=why)
        raise_fault(folder)
    return known


def _follow(
    spark: SparkSession,
    go: Callable[[], None],
    folder: Path,
    known: list[EpochLog],
    on_epoch: Callable[[EpochLog], None],
) -> None:
    """Run `go` and meanwhile add epochs to `known` as they end, and tell `on_epoch`. Raises what `go` raises.

    Processes that start again tell all epochs again: those that are known are left out.
    """
    with ThreadPoolExecutor(1) as pool:
        running, done = pool.submit(go), False
        try:
            while not done:
                done = bool(wait([running], POLL_S).done)
                for epoch in told(folder)[len(known) :]:
                    known.append(epoch)
                    on_epoch(epoch)
            running.result()
        finally:
            if not running.done():
                spark.interruptTag(TAG)


def require_slots(spark: SparkSession, processes: int, patience_s: float) -> None:
    """ConfigError unless `processes` tasks can run at once within `patience_s`; Spark itself would wait for long."""
    if spark.conf.get("spark.dynamicAllocation.enabled", "false") == "true":
        raise ConfigError(
            f"encoder.processes={processes} needs executors that stay. Set spark.dynamicAllocation.enabled=false and a"
            " number of executors, or encoder.processes=1."
        )
    context = spark.sparkContext._jsc.sc()
    profile = context.resourceProfileManager().defaultResourceProfile()
    until = time.monotonic() + patience_s
    while (slots := int(context.maxNumConcurrentTasks(profile))) < processes:
        if time.monotonic() >= until:
            raise ConfigError(
                f"encoder.processes is {processes}, but the cluster runs {slots} tasks at once: cores of its executors,"
                f" {spark.conf.get('spark.task.cpus', '1')} for a task (spark.task.cpus). Set encoder.processes to"
                f" {max(slots, 1)} or fewer, or give the application more cores."
            )
        time.sleep(POLL_S)


def on_gpus(spark: SparkSession, device: str) -> bool:
    """Whether each process has a GPU. ConfigError: one is asked for, and Spark does not give each task just one."""
    amount = spark.conf.get(GPUS, "0")
    if device == "cpu" or (device == "auto" and amount != "1"):
        return False
    if amount != "1":
        raise ConfigError(
            f"encoder.device is cuda and encoder.processes above 1, but {GPUS} is {amount}. Set it to 1"
            " (conf/gpu.yaml), or set encoder.device=cpu."
        )
    return True


def _shipped(spark: SparkSession) -> list[str]:
    """Names of the archives of --py-files: they lie in the folder in which an executor starts its processes."""
    files = spark.conf.get("spark.submit.pyFiles", "") or ""
    return [Path(file).name for file in files.split(",") if file]


def _by_value(archives: list[str], folder: str) -> Callable[[], None]:
    """What each process runs. A function inside a function travels as code: this package is yet to be found there."""
    here = str(Path(recsys.__file__).parent.parent)

    def rank() -> None:
        import sys
        from pathlib import Path

        sys.path[:0] = [str(Path(name).resolve()) for name in archives]
        sys.path.append(here)  # without an archive: where all machines have the same clone or image
        from recsys.encoder.order import as_rank

        as_rank(Path(folder))

    return rank
