"""Submitted by test_gpu.py: the device of each task as one line of JSON, then an embedding, which needs the GPU."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator

import pyarrow as pa
from pyspark import TaskContext

from recsys import config
from recsys.encoder.embed import device_of
from recsys.encoder.spark import embed_items
from recsys.session import open_session


def devices(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """What recsys makes of the addresses that Spark gave to this task, and the order in which CUDA will count."""
    task = TaskContext.get()
    device = device_of(task.resources()["gpu"].addresses) if task else None
    for batch in batches:
        found = {"device": [str(device)] * batch.num_rows, "order": [os.environ["CUDA_DEVICE_ORDER"]] * batch.num_rows}
        yield pa.RecordBatch.from_pydict(found)


def main(folder: str) -> None:
    """Both, on a session with the shipped GPU settings. `folder` stands for an encoder's."""
    settings = config.load(["conf/cluster.yaml", "conf/gpu.yaml"], [f"warehouse={folder}/tables"])
    spark = open_session(settings, "gpu probe")
    found = spark.range(0, 4, 1, 4).mapInArrow(devices, "device string, `order` string").distinct().collect()
    sys.stdout.write(json.dumps({"found": [row.asDict() for row in found]}) + "\n")
    sys.stdout.flush()
    embed_items(spark, folder, "bundle").collect()


if __name__ == "__main__":
    main(sys.argv[1])
