"""What the examples of a run were made of, so that they can be made again, and their hash. Arrow; no Spark."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.config import Section, Settings, parse
from recsys.errors import ConfigError, NoDataError, RefusedError

OF_RANKER = {
    *("negatives", "wide", "near", "nightly", "lists", "label_hours", "known_time", "load_hours", "seen", "pool"),
    *("popularity", "max_requests"),
}


class PinnedStep(Section):
    """The requests of [since, until) and the encoder that they were featured by."""

    start: str
    since: datetime
    until: datetime
    encoder: str  # SHA-256 of the folder's files


class Pinned(Section):
    """All that a run's examples are a function of, and their hash."""

    tables: dict[str, int]
    steps: tuple[PinnedStep, ...]
    settings: dict[str, str]
    rows: int
    sha256: str

    def save(self, file: Path) -> None:
        """Write it as JSON, in place of an earlier one."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    def require(self, settings: Mapping[str, str]) -> None:
        """RefusedError: the run's settings are others now, or an encoder is. NoDataError: one is gone."""
        changed = sorted(name for name in {*settings, *self.settings} if settings.get(name) != self.settings.get(name))
        if changed:
            name = changed[0]
            raise RefusedError(
                f"the pinned examples were made with {name} = {self.settings.get(name)}, and now it is "
                f"{settings.get(name)}: set it as it was. Others that differ: {', '.join(changed[1:]) or 'none'}."
            )
        for step in self.steps:
            if not Path(step.start).is_dir():
                raise NoDataError(f"the pinned encoder {step.start!r} is gone: put it back from a copy of `artifacts`.")
            if folder_hash(Path(step.start)) != step.encoder:
                raise RefusedError(
                    f"the encoder in {step.start!r} is not the pinned one (SHA-256 {step.encoder[:12]}...): a later "
                    "training took its place. Put the former back from a copy of `artifacts`."
                )

    def agree(self, made: Pinned) -> None:
        """RefusedError: the same tables, settings and encoders have given other examples than this."""
        if made.sha256 != self.sha256:
            raise RefusedError(
                f"the examples are not the pinned ones: {made.rows} rows of SHA-256 {made.sha256[:12]}..., pinned are "
                f"{self.rows} of {self.sha256[:12]}.... Tables, settings and encoders are the same, so it is the "
                "release, a library or the kind of processor: take those of the pinned run."
            )


def read_pinned(file: Path) -> Pinned:
    """What `Pinned.save` wrote. ConfigError: there is no such file, or it holds something else."""
    if not file.is_file():
        found = ", ".join(sorted(path.name for path in file.parent.glob("*.json"))) or "none"
        raise ConfigError(f"--pins {str(file)!r} does not exist. In its folder: {found}.")
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"--pins {str(file)!r} is no JSON ({error}): give the file that a training wrote.") from None
    return parse(Pinned, told, str(file))


def rests_on(settings: Settings, spark: Mapping[str, str]) -> dict[str, str]:
    """The settings that examples are a function of, each as JSON, and those of Spark as they are."""
    told: dict[str, object] = {f"ranker.{n}": v for n, v in settings.ranker.model_dump().items() if n in OF_RANKER}
    if settings.ranker.attention:  # without it examples are what they were before there was such a setting
        told["ranker.attention"] = settings.ranker.attention
    told |= {"features": settings.features.model_dump(), "seed": settings.seed}
    told |= {"behaviours": [[name, b.model_dump()] for name, b in settings.behaviours.items()]}
    told |= {f"topn.{name}": getattr(settings.topn, name) for name in ("candidates", "popular")}
    return {name: json.dumps(value, sort_keys=True) for name, value in told.items()} | dict(spark)


def fingerprint(rows: pa.Table) -> str:
    """SHA-256 over names and values of the columns; of texts, numbers, times and lists of numbers, in their order."""
    digest = hashlib.sha256()
    for name in rows.column_names:
        digest.update(name.encode())
        for part in _parts(rows[name].combine_chunks()):
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _parts(column: pa.Array) -> list[np.ndarray]:
    """What makes a column: which values are absent, the lengths where these differ, the values."""
    absent = column.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_list(column.type):
        return [absent, pc.list_value_length(column).fill_null(-1).to_numpy(), *_parts(column.flatten())]
    if pa.types.is_string(column.type):
        lengths = pc.binary_length(column).fill_null(0).to_numpy()
        values = pa.concat_arrays([column.cast(pa.large_binary()), pa.array([], pa.large_binary())])
        data = values.buffers()[2]
        return [absent, lengths, np.frombuffer(data or b"", dtype=np.uint8)[: int(lengths.sum())]]
    plain = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
    return [absent, plain.fill_null(0).to_numpy(zero_copy_only=False)]


def folder_hash(folder: Path) -> str:
    """SHA-256 over the names and bytes of a folder's files."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        own = hashlib.sha256()
        with file.open("rb") as stream:
            while part := stream.read(1 << 20):
                own.update(part)
        digest.update(file.relative_to(folder).as_posix().encode() + own.digest())
    return digest.hexdigest()
