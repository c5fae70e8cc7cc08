"""The hash against published vectors, and the key file's life."""

from __future__ import annotations

import hashlib
import hmac
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import ConfigError
from recsys.pseudonyms import KEY_VARIABLE, ensure_key, pseudonym, pseudonymiser, read_key


def test_rfc_4231_case_2() -> None:
    # RFC 4231, 4.3: key "Jefe", data "what do ya want for nothing?", HMAC-SHA-256 cut to its first 128 bits.
    assert pseudonym(b"Jefe", "what do ya want for nothing?") == "5bdcc146bf60754e6a042426089575c7"


@given(st.binary(min_size=1, max_size=100), st.text(max_size=50))
def test_it_is_hmac_sha256(key: bytes, identity: str) -> None:
    assert pseudonym(key, identity) == hmac.new(key, identity.encode(), hashlib.sha256).hexdigest()[:32]


def test_the_key_is_made_once_and_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    file = tmp_path / "new" / "key"
    path = ensure_key(str(file))
    first = file.read_bytes()
    assert path == str(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert len(first) == 64
    assert ensure_key(str(file)) == path
    assert file.read_bytes() == first == read_key(path)
    assert ensure_key(str(tmp_path / "other")) != path
    assert (tmp_path / "other").read_bytes() != first


def test_without_a_file_the_variable_is_used_else_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(KEY_VARIABLE, "v" * 32)
    assert ensure_key("") == ""
    assert read_key("") == b"v" * 32
    assert list(tmp_path.iterdir()) == []
    monkeypatch.delenv(KEY_VARIABLE)
    assert ensure_key("") == str(tmp_path / ".recsys" / "pseudonym.key")


def test_a_short_or_absent_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    short = tmp_path / "short"
    short.write_text("k" * 31 + "\n")
    with pytest.raises(ConfigError, match="has 31 characters; at least 32"):
        read_key(str(short))
    with pytest.raises(ConfigError, match="has 0 characters"):
        read_key("")
    with pytest.raises(ConfigError, match=r"key file .*nowhere' does not exist on this machine"):
        read_key(str(tmp_path / "nowhere"))


def test_a_pseudonymiser_reads_its_key_once(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("a" * 32)
    hashed = pseudonymiser(str(file))
    before = hashed("u")
    file.write_text("b" * 32)
    assert pseudonymiser(str(file)) is hashed
    assert hashed("u") == before == pseudonym(b"a" * 32, "u")
