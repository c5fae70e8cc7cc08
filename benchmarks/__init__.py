"""Benchmarks: `make bench NAME=stream` measures, prints and records. README.md says what each figure means."""
