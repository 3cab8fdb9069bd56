"""Whoever has the database has no password, no key and no token, in none of the forms they take."""

import asyncio
import base64
import hashlib
import subprocess
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from parley_accounts.tables import STORE, metadata, signing_keys
from parley_contracts import subjects
from parley_contracts.accounts import CreateInvitation, CreatePasswordReset, LinkCreated, SessionTokens, User
from parley_contracts.credentials import CreateKey, KeyCreated
from parley_contracts.policy import Role
from parley_envelope.envelope import Envelope
from sqlalchemy import Connection, select

from tests.unit.accounts.accounts_rig import (
    KEK,
    OWNER,
    OWNER_KEY,
    PASSWORD,
    Accounts,
    as_user,
    open_accounts,
)


def forms(secret: bytes) -> set[bytes]:
    """Return what a secret might be kept as, were it kept."""
    encoded = {secret, secret.hex().encode(), base64.b64encode(secret), base64.urlsafe_b64encode(secret)}
    return encoded | {one.rstrip(b"=") for one in encoded}


async def private_keys(accounts: Accounts) -> list[bytes]:
    query = select(signing_keys.c.kid, signing_keys.c.private_key)
    rows = await accounts.database.read(lambda connection: connection.execute(query).all())
    return [Envelope(KEK).open(row.private_key, purpose=f"signing key {row.kid}") for row in rows]


async def used_secrets(accounts: Accounts) -> set[bytes]:
    """Do everything that handles secrets, and return them."""
    ada: User = await accounts.user("ada", email="ada@example.org")
    tokens: list[SessionTokens] = [await accounts.log_in("ada"), await accounts.log_in_with_key()]
    tokens += [await accounts.refresh(one.refresh_token) for one in tokens]
    made = await accounts.ask(
        subjects.ACCOUNTS_CREATE_KEY, CreateKey(**as_user(ada), name="laptop"), KeyCreated
    )
    invitation = CreateInvitation(**OWNER, new_role=Role.GUEST)
    reset = CreatePasswordReset(**OWNER, user_id=ada.id)
    links = [
        await accounts.ask(subjects.ACCOUNTS_CREATE_INVITATION, invitation, LinkCreated),
        await accounts.ask(subjects.ACCOUNTS_CREATE_PASSWORD_RESET, reset, LinkCreated),
    ]
    raw_keys = await private_keys(accounts)
    assert len(raw_keys) == 2
    assert all(Ed25519PrivateKey.from_private_bytes(raw) for raw in raw_keys)
    texts = [PASSWORD, OWNER_KEY, made.key, made.key.split("-", 2)[2]]
    texts += [one.token for one in links] + [one.token.removeprefix("ln-") for one in links]
    for one in tokens:
        texts += [one.access_token, one.refresh_token, one.refresh_token.removeprefix("rt-")]
    return {form for secret in (*(text.encode() for text in texts), *raw_keys, KEK) for form in forms(secret)}


def everything(connection: Connection) -> bytes:
    rows: list[Any] = []
    for table in metadata.sorted_tables:
        rows += [tuple(row) for row in connection.execute(select(table))]
    return repr(rows).encode()


async def test_no_row_holds_a_secret(accounts: Accounts) -> None:
    secrets = await used_secrets(accounts)
    kept = await accounts.database.read(everything)

    assert [form for form in secrets if form in kept] == []
    # What is looked for would be found.
    assert hashlib.sha256(OWNER_KEY.encode()).hexdigest().encode() in kept
    assert b"ada@example.org" in kept
    assert b"$argon2id$" in kept


async def test_the_files_grepped_hold_no_secret(tmp_path: Path) -> None:
    async with open_accounts(STORE.url(None, tmp_path)) as accounts:
        secrets = await used_secrets(accounts)
        # Also while the log of writes has not been merged.
        assert await asyncio.to_thread(grepped, tmp_path, secrets) == []
    assert await asyncio.to_thread(grepped, tmp_path, secrets) == []
    assert await asyncio.to_thread(grepped, tmp_path, {b"ada@example.org"}) == ["accounts.sqlite"]


def grepped(folder: Path, texts: set[bytes]) -> list[str]:
    """Return the files in which grep finds one of `texts`; raw bytes are looked for by ourselves."""
    printable = sorted(text for text in texts if text.isascii() and b"\n" not in text and b"\0" not in text)
    patterns = [option for text in printable for option in ("-e", text.decode())]
    found = subprocess.run(
        ["grep", "-rlaF", *patterns, str(folder)], capture_output=True, text=True, check=False, timeout=60
    )
    assert found.returncode in {0, 1}, found.stderr
    names = {Path(line).name for line in found.stdout.splitlines()}
    for path in folder.iterdir():
        content = path.read_bytes() if path.is_file() else b""
        if any(text in content for text in texts):
            names.add(path.name)
    return sorted(names)
