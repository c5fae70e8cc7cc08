#!/bin/sh
# Prints this machine's GPUs as Spark wants them: {"name": "gpu", "addresses": ["0", "1"]}. Needs nvidia-smi.
# Named by spark.worker.resource.gpu.discoveryScript (standalone) or spark.executor.resource.gpu.discoveryScript (YARN,
# Kubernetes). An address is a device index in the order of the PCI bus, so executors need CUDA_DEVICE_ORDER=PCI_BUS_ID,
# which gpu.yaml sets; in a container, nvidia-smi sees the container's GPUs alone and counts them from 0.
set -eu
found=$(nvidia-smi --query-gpu=index --format=csv,noheader,nounits)
if [ -z "$found" ]; then
    echo "nvidia-smi found no GPU on $(hostname)." >&2
    exit 1
fi
echo "$found" | awk '{ list = list (NR > 1 ? ", " : "") "\"" $1 "\"" } END { printf "{\"name\": \"gpu\", \"addresses\": [%s]}\n", list }'
