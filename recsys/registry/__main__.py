"""The registry from a shell: `python -m recsys.registry verify | load | promote | rollback | prune`.

Every command answers with one JSON object on standard output, and with an exit code: 0 done, 1 not sound or no answer,
2 settings or command line, 3 there is no champion, 4 refused. A fault is one sentence on standard error.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys import config, log
from recsys.config import RegistrySettings, Settings
from recsys.errors import BundleError, ConfigError, NoDataError, RecsysError
from recsys.registry import alias, client, local, retention, tracking
from recsys.registry.kept import check, registry_folder, sound, take

# PyTorch is imported where it is needed: going back must not wait for it.
if TYPE_CHECKING:
    import pandas as pd

    from recsys.registry.bundle import Bundle

Answer = dict[str, object]
MODEL_URI = re.compile(r"models:/(?P<model>[^/@]+)(/(?P<version>\d+)|@(?P<alias>[^/@]+))")


def verify(settings: Settings, asked: argparse.Namespace) -> Answer:
    """Check a model of the registry or of a folder; with --into, leave a verified copy there."""
    with tempfile.TemporaryDirectory(prefix="recsys-verify-") as private:
        into = Path(asked.into).resolve() if asked.into else Path(private) / "model"
        version, bundle = _taken(settings, asked.model, into)
        answer: Answer = {"version": version, "bundle": bundle.id, "verified": True}
        return answer | ({"folder": str(into)} if asked.into else {})


def load(settings: Settings, asked: argparse.Namespace) -> Answer:
    """Load the champion as a server does, and let it answer."""
    from recsys.registry.champion import current
    from recsys.registry.consumer import Consumer

    found = current(settings, Path(asked.kept).resolve() if asked.kept else registry_folder(settings))
    answers = Consumer(found.bundle).predict(_requests(asked.ask, found.bundle))
    told: Answer = {"version": found.version, "bundle": found.bundle.id, "behind": found.behind}
    return told | {"folder": str(found.bundle.folder), "answers": json.loads(answers.to_json(orient="records"))}


def promote(settings: Settings, asked: argparse.Namespace) -> Answer:
    """Make a registered version the champion by hand: verified, loaded back, asked, but not compared."""
    from recsys.registry.promote import challenge, fetch

    work = registry_folder(settings)
    batch = _requests(asked.ask, fetch(settings.registry, asked.version, work))
    decision = challenge(asked.version, settings, batch, None, work, asked.reason)
    return {"version": decision.version, "previous": decision.previous, "bundle": decision.bundle}


def rollback(settings: Settings, asked: argparse.Namespace) -> Answer:
    """Point the alias at the version that was champion before, verified again."""
    decision = alias.rollback(settings, registry_folder(settings), asked.reason, asked.by, asked.to)
    return {"version": decision.version, "bundle": decision.bundle, "reason": decision.reason}


def prune(settings: Settings, asked: argparse.Namespace) -> Answer:
    """Delete old versions; the champion, those before it and the newest ones stay."""
    if asked.keep < 1:
        raise ConfigError(f"--keep {asked.keep}: at least 1 version stays.")
    return {"deleted": retention.prune(settings, asked.keep)}


Command = Callable[[Settings, argparse.Namespace], Answer]
COMMANDS: dict[str, Command] = {
    "verify": verify,
    "load": load,
    "promote": promote,
    "rollback": rollback,
    "prune": prune,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    asked = _parser().parse_args(argv)
    log.configure("WARNING")
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # of downloads, on standard error
    try:
        settings = config.load(asked.conf, asked.set)
        tracking.connect(settings)
        answer = COMMANDS[asked.command](settings, asked)
    except RecsysError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return error.exit_code
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m recsys.registry", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    made = {
        name: commands.add_parser(name, help=run.__doc__, description=run.__doc__) for name, run in COMMANDS.items()
    }
    for one in made.values():
        one.add_argument("--conf", action="append", default=[], metavar="FILE", help="a YAML file over the defaults")
        one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="section.key=value")
    made["verify"].add_argument(
        "model", nargs="?", default="", help="folder, models:/NAME/VERSION or models:/NAME@ALIAS"
    )
    made["verify"].add_argument("--into", metavar="FOLDER", help="an absent folder: the verified copy")
    made["load"].add_argument("--kept", metavar="FOLDER", help="of verified copies (default: artifacts/registry)")
    made["promote"].add_argument("version", help="number of the registered version")
    for name in ("load", "promote"):
        made[name].add_argument("--ask", metavar="FILE", help="JSON list of requests (default: two made up ones)")
    made["promote"].add_argument("--reason", required=True, help="kept with the version")
    made["rollback"].add_argument("--reason", default="", help="kept with the version")
    made["rollback"].add_argument("--by", default="", help="who (default: the user's name)")
    made["prune"].add_argument("--keep", type=int, default=10, help="newest versions, and steps back (default 10)")
    made["rollback"].add_argument("--to", metavar="VERSION", help="an earlier champion (default: the one before)")
    return parser


def _taken(settings: Settings, model: str, into: Path) -> tuple[str | None, Bundle]:
    """The model's version, None for a folder, and its bundle, loaded from the verified copy at `into`."""
    names = settings.registry
    if model and not model.startswith("models:"):
        fill = partial(_copy, Path(model), local.limit_of(names))
        version, registered = None, None
    else:
        names, version, registered = _named(names, model)
        fill = partial(local.download, names, version)
    # What lies at `into` already must be our own copy: it would be replaced.
    if into.exists() and not (registered and sound(into, registered)):
        raise ConfigError(f"--into {str(into)!r} exists and is no copy of this model: name an absent folder.")
    folder, _ = check(take(fill, into, registered))
    from recsys.registry.bundle import load as loaded  # what is hostile is refused before PyTorch is there

    return version, loaded(folder)


def _copy(source: Path, most_bytes: int, into: Path) -> None:
    try:
        local.copy(source, into, most_bytes)
    except OSError as error:
        raise BundleError(f"Folder {str(source)!r} cannot be read: {error}") from None


def _named(names: RegistrySettings, model: str) -> tuple[RegistrySettings, str, str]:
    """The registered model, its version and the registered bundle's id."""
    found = MODEL_URI.fullmatch(model) if model else None
    if model and not found:
        raise ConfigError(f"{model!r} names no model: give a folder, models:/NAME/VERSION or models:/NAME@ALIAS.")
    parts: dict[str, Any] = {key: value for key, value in found.groupdict().items() if value} if found else {}
    version = parts.pop("version", None)
    names = names.model_copy(update=parts)
    present = client.version_of(names, version) if version else client.champion(names)
    if present is None:
        raise NoDataError(f"Model {names.model!r} has no {names.alias!r}.")
    return names, str(present.version), present.tags.get(alias.BUNDLE, "")


def _requests(file: str | None, bundle: Bundle) -> pd.DataFrame:
    """The requests in the file; without one, a new user and one who met the vocabulary's first items."""
    import pandas as pd

    if file:
        try:
            rows = json.loads(Path(file).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"--ask {file!r} is no JSON file: {error}.") from None
        made: pd.DataFrame = pd.DataFrame(rows)
        return made
    at, behaviour = bundle.snapshot.at, next(name for name in bundle.manifest.names if name in bundle.engaged)
    met = [
        {"item_id": item, "behaviour": behaviour, "event_time": at - place * 60_000_000}
        for place, item in enumerate(bundle.encoder.vocabulary.items[:3], start=1)
    ]
    made = pd.DataFrame({"recent": [met, []], "at": [at, at]})
    return made


if __name__ == "__main__":
    sys.exit(main())
