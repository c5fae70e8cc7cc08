"""A consumer that loads and scores without a pause while the registry is being harmed."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path

from recsys.errors import RecsysError
from recsys.registry.champion import current
from recsys.registry.consumer import Consumer
from tests.faults.world import BATCH, Scores, World, scores

FRESH = 5  # each so many loads, one has no earlier copy to fall back on
PAUSE_S = 0.02


def read(world: World, expected: dict[str, Scores]) -> None:
    """Load and score until the file `stop` is there; then write the counts to `reader.json`."""
    world.use(2.0)
    loads, behind, fresh, broken, versions = 0, 0, 0, list[str](), dict[str, str]()
    while not (world.folder / "stop").exists():
        loads += 1
        alone = loads % FRESH == 0
        kept = Path(tempfile.mkdtemp(dir=world.folder)) if alone else world.folder / "kept"
        disturbed = world.disturbed()
        try:
            found = current(world.settings, kept)
        except RecsysError as error:
            # Without an earlier copy nothing can be loaded while the registry is out of reach; else always.
            if not alone or (disturbed % 2 == 0 and world.disturbed() == disturbed):
                broken.append(f"{type(error).__name__}: {error}")
        else:
            fresh += alone
            behind += found.behind is not None
            versions[found.version] = found.bundle.id
            if scores(Consumer(found.bundle).predict(BATCH)) != expected.get(found.bundle.id):
                broken.append(f"version {found.version} answers otherwise than its bundle {found.bundle.id}")
        if alone:
            shutil.rmtree(kept)
        time.sleep(PAUSE_S)
    told = {"loads": loads, "fresh": fresh, "behind": behind, "broken": broken, "versions": versions}
    (world.folder / "reader.json").write_text(json.dumps(told))
