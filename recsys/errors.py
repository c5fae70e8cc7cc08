"""The errors a user can meet. Each names what is missing, what was found and what to do, and carries an exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RecsysError(Exception):
    """A run that failed for a reason we can name (exit code 1)."""

    exit_code = 1


class ConfigError(RecsysError):
    """A setting, a mapping or a command line that cannot be used (exit code 2)."""

    exit_code = 2


class NoDataError(RecsysError):
    """There is nothing to work on (exit code 3)."""

    exit_code = 3


class VersionGoneError(NoDataError):
    """A version of a table that can no longer be read (exit code 3)."""


class RefusedError(RecsysError):
    """The work was done or could be done, but a rule forbids its result (exit code 4)."""

    exit_code = 4


class AccountingError(RecsysError):
    """A batch whose rows do not add up: in = accepted + duplicate + rejected (exit code 1)."""


class BundleError(RecsysError):
    """A model bundle that is incomplete, changed or does not fit (exit code 1)."""


class TrainingError(RecsysError):
    """Processes that should train one model, and do not see the same (exit code 1)."""


class RegistryError(RecsysError):
    """The MLflow registry does not answer, or not as asked (exit code 1)."""


class StoreError(RecsysError):
    """An online store that does not answer or holds what cannot be read (exit code 1; over HTTP 503)."""


class RequestError(RecsysError):
    """A request to a model that cannot be answered as it is (exit code 2; over HTTP a 4xx)."""

    exit_code = 2


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint that ends an error's sentence: the nearest valid name, then all of them."""
    known = sorted(valid)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{hint} Valid: {', '.join(known)}."
