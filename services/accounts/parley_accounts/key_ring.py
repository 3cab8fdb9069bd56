"""The key-encryption keys that a process has: one seals, which the database names; the others still open.

In the secrets folder `kek.key` is the key; while it is being rotated the next one stands beside it as
`kek-<name>.key`, and takes its place when nothing is sealed by the old one any more.
"""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from parley_contracts.errors import ErrorCode, ParleyError
from parley_envelope.envelope import Envelope, SealError, key_name, parse_key
from parley_identity.secret_files import create_once
from sqlalchemy import Connection, select

from parley_accounts.kek_file import KEK_FILE
from parley_accounts.tables import installation

KEK_ROW = "kek"
"""Where the installation keeps the name of the key that seals."""
_NEXT_FILES = "kek-*.key"


class KeyRing:
    """Opens by the key that a secret names, and seals by the one that the database names."""

    def __init__(self, keys: Iterable[bytes], *, folder: Path | None = None) -> None:
        self._folder = folder
        self._envelopes: dict[str, Envelope] = {}
        made = [Envelope(key) for key in keys]
        self.first_name = made[0].name
        self._add(made)

    @classmethod
    def in_folder(cls, folder: Path) -> "KeyRing":
        """Return the keys in the files of a folder; ValueError when one holds none."""
        return cls(_read_keys(folder), folder=folder)

    def _add(self, envelopes: Iterable[Envelope]) -> None:
        # Another thread reads it meanwhile: it sees all of the new ones or none.
        self._envelopes = {**self._envelopes, **{one.name: one for one in envelopes}}

    def open(self, sealed: str, *, purpose: str) -> bytes:
        """Return what was sealed for a purpose; SealError when it cannot be opened."""
        return self._named(key_name(sealed)).open(sealed, purpose=purpose)

    def seal(self, connection: Connection, secret: bytes, *, purpose: str) -> str:
        """Return text that the present key opens; it stays the present one until the transaction ends."""
        name = present_name(connection)
        try:
            return self._named(name).seal(secret, purpose=purpose)
        except SealError:
            message = "This process does not have the present key-encryption key."
            raise ParleyError(ErrorCode.UNAVAILABLE, message) from None

    def _named(self, name: str) -> Envelope:
        if name not in self._envelopes and self._folder is not None:
            # Another process may have made it.
            self._add(Envelope(key) for key in _read_keys(self._folder))
        found = self._envelopes.get(name)
        if found is None:
            raise SealError("a stored secret was sealed by another key-encryption key")
        return found

    def next_name(self, present: str) -> str:
        """Return the name of the key that is to follow the present one; a folder gets another file.

        Raises:
            ParleyError: `conflict` when keys come from the environment and it names no other one.
        """
        if self._folder is None:
            if self.first_name == present:
                message = "PARLEY_KEK is the present key: set another one, and this one as PARLEY_KEK_OLD."
                raise ParleyError(ErrorCode.CONFLICT, message)
            return self.first_name
        key = secrets.token_bytes(32)
        made = Envelope(key)
        create_once(self._folder / f"kek-{made.name}.key", key.hex())
        self._add([made])
        return made.name

    def kept_name(self, present: str) -> str:
        """Return the name of the key in `kek.key`, which the present one replaces when it has sealed all."""
        if self._folder is None:
            return present
        return Envelope(parse_key((self._folder / KEK_FILE).read_text(encoding="ascii"))).name

    def settle(self, present: str) -> None:
        """Let the present key be the only one that is kept; what older ones have sealed is lost then."""
        if self._folder is None:
            return
        file = self._folder / f"kek-{present}.key"
        if file.exists():
            os.replace(file, self._folder / KEK_FILE)
        for left in self._folder.glob(_NEXT_FILES):
            left.unlink(missing_ok=True)
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read_keys(folder: Path) -> list[bytes]:
    keys: list[bytes] = []
    for path in (folder / KEK_FILE, *sorted(folder.glob(_NEXT_FILES))):
        try:
            keys.append(parse_key(path.read_text(encoding="ascii")))
        except FileNotFoundError:
            continue  # it has just taken the place of kek.key, which is read again when a key is missed
        except ValueError as error:
            raise ValueError(f"{path} holds no key: {error}") from None
    return keys


def present_name(connection: Connection, *, locks: bool = False) -> str:
    """Return the name of the key that seals; no other one becomes it before the transaction ends.

    `locks` is for who is about to change it.
    """
    query = select(installation.c.value).filter_by(name=KEK_ROW)
    return connection.execute(query.with_for_update(read=not locks)).scalar_one()
