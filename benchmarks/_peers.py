"""The environment of the peers, which share no package with ours, and their scripts in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks._record import ROOT
from recsys.errors import RecsysError

FOLDER = ROOT / ".cache" / "peers"
REQUIREMENTS = ROOT / "benchmarks" / "peers" / "requirements.txt"
PYTHON = FOLDER / "bin" / "python"


def ready(make: bool) -> bool:
    """Whether the environment holds RecTools; with `make`, it is made where it does not."""
    if not _has_rectools() and make:
        uv = Path(sys.executable).parent / "uv"
        _run([str(uv), "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(FOLDER)])
        _run([str(uv), "pip", "install", "--quiet", "--python", str(PYTHON), "-r", str(REQUIREMENTS)])
    return _has_rectools()


def _has_rectools() -> bool:
    return any(FOLDER.glob("lib/python*/site-packages/rectools"))


def rectools_esasrec(sequences: Path, seed: int, batches: int) -> dict[str, object]:
    """What `peers/rectools_esasrec.py` prints, run on one thread."""
    script = str(ROOT / "benchmarks" / "peers" / "rectools_esasrec.py")
    words = [str(PYTHON), script, str(sequences), "--seed", str(seed), "--batches", str(batches)]
    told: dict[str, object] = json.loads(_run(words).splitlines()[-1])
    return told


def rectools_judge(folder: Path) -> dict[str, float]:
    """What `peers/rectools_judge.py` prints of the lists in `folder`."""
    script = str(ROOT / "benchmarks" / "peers" / "rectools_judge.py")
    told: dict[str, float] = json.loads(_run([str(PYTHON), script, str(folder)]).splitlines()[-1])
    return told


def _run(words: list[str]) -> str:
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=variables)
    if done.returncode:
        raise RecsysError(f"{' '.join(words[:4])} … ended with {done.returncode}: {done.stderr.strip()[-600:]}")
    return done.stdout
