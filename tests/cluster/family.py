"""Which process started which: the descendants of processes, noted while they live."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def parents() -> dict[int, int]:
    """The parent of each process that lives now."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text(errors="replace")
        except OSError:
            continue  # it has ended meanwhile
        found[int(stat.parent.name)] = int(text.rpartition(")")[2].split()[1])
    return found


def descendants(root: int) -> set[int]:
    """The processes that `root` started, and those that these started. Without `root` itself."""
    children = defaultdict(list)
    for child, parent in parents().items():
        children[parent].append(child)
    found, ahead = set(), [root]
    while ahead:
        fresh = children[ahead.pop()]
        found.update(fresh)
        ahead += fresh
    return found


def runs_python(root: int) -> bool:
    """Whether an executor below the worker `root` has started its Python processes: a task with a UDF is running."""
    for pid in descendants(root):
        try:
            if b"pyspark.daemon" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return True
        except OSError:
            continue  # it has ended meanwhile
    return False


@contextmanager
def watched(roots: dict[str, int], every_s: float = 0.2) -> Iterator[dict[str, set[int]]]:
    """All descendants that each of the named `roots` had at some moment of the block, as seen every `every_s` s."""
    seen: dict[str, set[int]] = {name: {root} for name, root in roots.items()}
    over = threading.Event()

    def look() -> None:
        while not over.wait(every_s):
            for name, root in list(roots.items()):
                seen[name] |= descendants(root)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
