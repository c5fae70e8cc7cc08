"""What every job has in common: its command line, its settings, its session, its exit code.

Exit codes: 0 done, 1 failed, 2 settings or command line, 3 no data, 4 refused.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from recsys import config, log, session
from recsys.config import Settings
from recsys.days import yesterday
from recsys.errors import RecsysError
from recsys.events.mapping import Mapping, load_mapping, merged
from recsys.features.definitions import check_features
from recsys.features.kept import check_texts
from recsys.io import Warehouse
from recsys.pseudonyms import ensure_key
from recsys.ranking.declared import check_operations, check_tasks

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job's contract: what it reads and writes, as shown by --help and --dry-run."""

    name: str
    about: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None


@dataclass(frozen=True)
class Context:
    """What a job's main function works with. Spark starts at the first use of `spark`."""

    job: Job
    settings: Settings
    arguments: argparse.Namespace

    @property
    def day(self) -> date:
        """The business day that the job works on: --date, else yesterday."""
        asked: date | None = self.arguments.date
        return asked or yesterday(self.settings.timezone)

    @cached_property
    def mapping(self) -> Mapping:
        """The source's mapping."""
        return load_mapping(self.settings.mapping)

    @cached_property
    def spark(self) -> SparkSession:
        """The session."""
        return session.open_session(self.settings, f"recsys {self.job.name}")

    @cached_property
    def warehouse(self) -> Warehouse:
        """All tables."""
        return Warehouse(self.spark, self.settings.warehouse)


def parser_of(job: Job) -> argparse.ArgumentParser:
    """The job's command line."""
    contract = f"reads: {', '.join(job.reads)}\nwrites: {', '.join(job.writes)}"
    settings = (
        "settings: defaults < --conf files in order < RECSYS__section__key < --set; spark-submit's own always win"
    )
    codes = "exit codes: 0 done, 1 failed, 2 settings or command line, 3 no data, 4 refused"
    parser = argparse.ArgumentParser(
        prog=job.name,
        description=f"{job.about.strip()}\n\n{contract}",
        epilog=f"{settings}\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--conf", action="append", default=[], metavar="FILE", help="a YAML file over the defaults")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting: section.key=value"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be read, computed and written; do nothing"
    )
    job.arguments(parser)
    return parser


def day_argument(parser: argparse.ArgumentParser, meaning: str) -> None:
    """The option `--date` of jobs that work on a business day."""
    parser.add_argument("--date", type=date.fromisoformat, help=f"business day: {meaning} (default: yesterday)")


Main = Callable[["Context"], int | None]


def run(job: Job, main: Main, argv: Sequence[str] | None = None) -> int:
    """Run a job from its command line and return its exit code: `main`'s own, else 0 where no error leaves it.

    An error that has a name is a sentence, not a trace.
    """
    arguments = parser_of(job).parse_args(argv)
    log.configure_once()
    try:
        settings = resolved(config.load(arguments.conf, arguments.set))
    except RecsysError as error:
        return _failed(job, error)
    context = Context(job, settings, arguments)
    if arguments.dry_run:
        sys.stdout.write(plan(context) + "\n")
        return 0
    return _guarded(context, main)


def run_inside(job: Job, main: Main, context: Context, argv: Sequence[str]) -> int:
    """Run a job with the settings of the job that calls it, and with options of its own."""
    return _guarded(Context(job, context.settings, parser_of(job).parse_args(argv)), main)


def _guarded(context: Context, main: Main) -> int:
    began = time.monotonic()
    try:
        code = main(context) or 0
    except RecsysError as error:
        return _failed(context.job, error)
    except (PySparkException, Py4JError) as error:
        # What fails inside Spark has its cause in the trace: it goes to the log, after one sentence.
        said = f"Spark failed in {context.job.name}: {str(error).strip().splitlines()[0]}"
        logger.error(said, exc_info=error, extra={"fields": {"job": context.job.name, "exit_code": 1}})
        return 1
    log.event(logger, "done", job=context.job.name, seconds=round(time.monotonic() - began, 1), exit_code=code)
    return code


def _failed(job: Job, error: RecsysError) -> int:
    log.event(logger, str(error), logging.ERROR, job=job.name, exit_code=error.exit_code)
    return error.exit_code


def resolved(settings: Settings) -> Settings:
    """Settings with the mapping's behaviours, and the key file that this machine has or now makes.

    ConfigError: a mapping, a declared feature or an operation on features that cannot be used.
    """
    mapping = load_mapping(settings.mapping)
    with_behaviours = merged(settings, mapping)
    check_features(with_behaviours)
    check_operations(with_behaviours)
    check_tasks(with_behaviours)
    check_texts(with_behaviours, query=mapping.query is not None, context=mapping.context)
    return with_behaviours.model_copy(update={"pseudonym_key_file": ensure_key(settings.pseudonym_key_file)})


def plan(context: Context) -> str:
    """What the job would do, in words."""
    where = context.settings.warehouse
    options = {
        k: v for k, v in vars(context.arguments).items() if k not in {"conf", "set", "dry_run"} and v is not None
    }
    lines = [f"{context.job.name}: {context.job.about.strip().splitlines()[0]}"]
    lines += [f"  reads   {name} ({where}/{name})" for name in context.job.reads]
    lines += [f"  writes  {name} ({where}/{name})" for name in context.job.writes]
    lines += [f"  option  {name} = {value}" for name, value in options.items()]
    lines += [f"  mapping {context.settings.mapping} ({context.mapping.name}), source {context.settings.source or '-'}"]
    return "\n".join(lines)
