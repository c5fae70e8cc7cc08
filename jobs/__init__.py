"""The jobs: each declares what it reads and writes, and calls `recsys`."""
