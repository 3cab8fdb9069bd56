"""The local owner's secrets: once, private, and safe against two starts at the same moment."""

import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from parley_cli.owner_secrets import create_secrets, login_link, new_login_code, read_owner_key
from parley_contracts.login_code import LOGIN_CODES_FOLDER, code_file
from parley_identity.claims_files import read_public_file, read_signing_file


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_readable_by_their_user_only(tmp_path: Path) -> None:
    create_secrets(tmp_path / "secrets")
    assert mode(tmp_path / "secrets") == 0o700
    assert mode(tmp_path / "secrets/owner.key") == 0o600
    assert mode(tmp_path / "secrets/turn.key") == 0o600


def test_keys_have_the_promised_form(tmp_path: Path) -> None:
    create_secrets(tmp_path)
    assert re.fullmatch(r"pk_[A-Za-z0-9_-]{43}", read_owner_key(tmp_path) or "")
    assert len(bytes.fromhex((tmp_path / "turn.key").read_text())) == 32


def test_a_second_start_keeps_the_keys(tmp_path: Path) -> None:
    create_secrets(tmp_path)
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    create_secrets(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def test_starts_at_the_same_moment_agree_on_one_key_and_leave_no_drafts(tmp_path: Path) -> None:
    def create_and_read(_: int) -> str | None:
        create_secrets(tmp_path)
        return read_owner_key(tmp_path)

    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(create_and_read, range(64)))
    assert len(keys) == 1
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["claims-llm.key", "claims-rag.key", "claims.key", "claims.pub", "owner.key", "turn.key"]
    public = read_public_file(tmp_path / "claims.pub")
    signing = [
        read_signing_file(tmp_path / name) for name in ("claims.key", "claims-rag.key", "claims-llm.key")
    ]
    assert {key.kid for key in public.keys} == {key.kid for key in signing}


def test_a_folder_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    create_secrets(tmp_path)
    assert mode(tmp_path) == 0o700


def test_the_login_link_carries_a_code_of_its_own_in_its_fragment_only(tmp_path: Path) -> None:
    create_secrets(tmp_path)
    codes = [new_login_code(tmp_path) for _ in range(2)]
    link = login_link("http://127.0.0.1:8000", codes[0])
    assert link == f"http://127.0.0.1:8000/login#code={codes[0]}"
    assert codes[0] != codes[1]
    files = list((tmp_path / LOGIN_CODES_FOLDER).iterdir())
    assert {path.name for path in files} == {code_file(code) for code in codes}
    assert mode(tmp_path / LOGIN_CODES_FOLDER) == 0o700
    assert {mode(path) for path in files} == {0o600}
    kept = {text for path in tmp_path.rglob("*") if path.is_file() for text in (path.name, path.read_text())}
    assert not kept.intersection(codes)


def test_codes_that_are_too_old_are_forgotten(tmp_path: Path) -> None:
    old = tmp_path / LOGIN_CODES_FOLDER / code_file(new_login_code(tmp_path))
    os.utime(old, (0, 0))
    new_login_code(tmp_path)
    assert not old.exists()
