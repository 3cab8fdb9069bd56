"""What is sealed is opened by its key, for its purpose, unchanged; the key is its user's alone."""

import stat
from pathlib import Path

import pytest
from parley_accounts.kek_file import read_or_make_key
from parley_accounts.opaque_secrets import new_secret, open_by, seal_by
from parley_accounts.settings import AccountsSettings
from parley_envelope.envelope import Envelope, SealError, parse_key
from pydantic import ValidationError

ENVELOPE = Envelope(bytes(range(32)))


def test_a_secret_is_opened_for_its_purpose_and_for_no_other() -> None:
    sealed = ENVELOPE.seal(b"secret", purpose="signing key k1")
    assert ENVELOPE.open(sealed, purpose="signing key k1") == b"secret"
    assert ENVELOPE.seal(b"secret", purpose="signing key k1") != sealed
    with pytest.raises(SealError):
        ENVELOPE.open(sealed, purpose="signing key k2")


def test_another_key_opens_nothing_and_says_so() -> None:
    sealed = ENVELOPE.seal(b"secret", purpose="p")
    with pytest.raises(SealError, match="another key-encryption key"):
        Envelope(bytes(32)).open(sealed, purpose="p")


def test_a_changed_character_is_noticed() -> None:
    sealed = ENVELOPE.seal(b"secret", purpose="p")
    for place in range(0, len(sealed), 3):
        changed = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
        with pytest.raises(SealError):
            ENVELOPE.open(changed, purpose="p")
    for wrong in ("", ".", "v1", sealed[:-5], sealed.rpartition(".")[0]):
        with pytest.raises(SealError):
            ENVELOPE.open(wrong, purpose="p")


def test_a_key_is_made_once_for_its_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    key = read_or_make_key(folder)

    assert len(key) == 32
    assert read_or_make_key(folder) == key
    assert [path.name for path in folder.iterdir()] == ["kek.key"]
    assert stat.S_IMODE((folder / "kek.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "00" * 33])
def test_a_file_that_holds_no_key_is_said_to_and_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "kek.key").write_text(text)
    with pytest.raises(ValueError, match="holds no key"):
        read_or_make_key(tmp_path)
    assert (tmp_path / "kek.key").read_text() == text


def test_a_setting_that_is_no_key_is_refused_without_being_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_KEK", "0123456789abcdef")
    with pytest.raises(ValidationError) as refused:
        AccountsSettings()
    assert "64 hex digits" in refused.value.errors(include_input=False)[0]["msg"]
    monkeypatch.setenv("PARLEY_KEK", "ab" * 32)
    settings = AccountsSettings()
    assert settings.kek is not None
    assert parse_key(settings.kek.get_secret_value()) == bytes.fromhex("ab" * 32)
    assert "abab" not in repr(settings)


def test_what_a_token_seals_only_that_token_opens() -> None:
    token, other = new_secret("rt-"), new_secret("rt-")
    sealed = seal_by(token, "successor")
    assert "successor" not in sealed
    assert open_by(token, sealed) == "successor"
    assert open_by(other, sealed) is None
    assert open_by(token, sealed[:-8]) is None
    assert open_by(token, "!") is None
