"""Ids of persons become keyed pseudonyms, in one place: HMAC-SHA256, cut to 128 bits.

The key comes from a file or from RECSYS_PSEUDONYM_KEY. It is read by the process that hashes, on each executor, so it
is in no Spark setting, plan or log. A cluster needs the file, or the variable, on every node.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from recsys.errors import ConfigError

KEY_VARIABLE = "RECSYS_PSEUDONYM_KEY"
KEY_BYTES = 32


def pseudonym(key: bytes, identity: str) -> str:
    """32 hex digits: HMAC-SHA256 (RFC 2104) of the id's UTF-8 text, first 128 bits."""
    return hmac.digest(key, identity.encode(), "sha256")[:16].hex()


def ensure_key(file: str) -> str:
    """Make the private key file if neither it nor the variable exists; return what `read_key` needs.

    An empty `file` means what `key_file` says.
    """
    place = key_file(file)
    path = Path(place)
    if place and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(secrets.token_hex(KEY_BYTES))
    return place


def key_file(file: str) -> str:
    """Where the key is: in `file`; empty: in the variable, if it is set (empty), else in `~/.recsys/pseudonym.key`."""
    if not file and os.environ.get(KEY_VARIABLE):
        return ""
    return str(Path(file).absolute() if file else Path.home() / ".recsys" / "pseudonym.key")


def read_key(file: str) -> bytes:
    """The key's bytes. ConfigError where there is none, or one that is too short to be secret."""
    path = Path(file)
    if file and not path.is_file():
        raise ConfigError(
            f"the pseudonym key file {file!r} does not exist on this machine. Copy the driver's key there, "
            f"or set {KEY_VARIABLE} on every node."
        )
    text = path.read_text(encoding="utf-8").strip() if file else os.environ.get(KEY_VARIABLE, "")
    if len(text) < KEY_BYTES:
        raise ConfigError(f"the pseudonym key has {len(text)} characters; at least {KEY_BYTES} are needed.")
    return text.encode()


@lru_cache(maxsize=4)
def pseudonymiser(file: str) -> Callable[[str], str]:
    """A cached function id -> pseudonym for the key in `file`; one for each process."""
    key = read_key(file)

    @lru_cache(maxsize=1_000_000)
    def hashed(identity: str) -> str:
        return pseudonym(key, identity)

    return hashed
