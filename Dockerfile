# One image for driver and executors on Kubernetes: Spark with Java and Python, the dependencies, this clone.
#   docker build -t recsys:0.1.0 .
# For GPUs, build on it an image whose PyTorch is a CUDA build; the driver's part comes from the node.
FROM apache/spark:4.2.0-python3

USER root
WORKDIR /opt/recsys
COPY setup.py pyproject.toml ./
COPY recsys recsys
# Spark's own Python package lies in the image already; another copy would be half a gigabyte.
RUN python3 -m pip install --no-cache-dir . importlib_metadata \
    && python3 -m pip install --no-cache-dir --no-deps delta-spark==4.4.0
COPY jobs jobs
COPY conf conf
# Driver and executors import `recsys` and `jobs` from here: no --py-files.
ENV PYTHONPATH=/opt/recsys
# Delta's jars, resolved once: a pod that starts asks the network for nothing.
RUN /opt/spark/bin/spark-submit --properties-file conf/cluster.properties --conf spark.jars.ivy=/tmp/ivy \
        jobs/nightly.py --help > /dev/null \
    && cp /tmp/ivy/jars/io.delta_*.jar /opt/spark/jars/ \
    && rm -rf /tmp/ivy
USER spark
