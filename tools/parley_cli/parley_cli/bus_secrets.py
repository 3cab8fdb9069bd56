"""Who may use our own nats-server and redis-server: a seed or a password each, in private files."""

import fcntl
import hashlib
import secrets
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from parley_contracts.bus_rights import OUTSIDE_PREFIX, SERVICES, TOOLS_PREFIX, BusRights
from parley_contracts.redis_rights import REDIS_USERS
from parley_identity.secret_files import create_once, replace_private

from parley_cli.private_folder import make_private_folder

OPERATOR = "operator"
"""The user that may do anything, for whoever looks after the bus."""

CHANGE_WAIT_S = 10.0
_LOOK_S = 0.05


class BusSecrets:
    """The folder `bus` of the secrets."""

    def __init__(self, secrets_dir: Path) -> None:
        self._nats = secrets_dir / "bus" / "nats"
        self._redis = secrets_dir / "bus" / "redis"

    def create(self) -> None:
        """Make what is missing of the users' secrets."""
        for folder in (self._nats, self._redis):
            make_private_folder(folder)
        for user in (*SERVICES, OPERATOR):
            self._create_user(user)
        for user in (*REDIS_USERS, OPERATOR):
            if not (path := self._password_file(user)).exists():
                create_once(path, secrets.token_urlsafe(32))

    @contextmanager
    def changing(self) -> Generator[None]:
        """Let nobody else change the outside services while the body runs.

        What a command tells the bus is all users that it has read: of two at once, one's would be lost.

        Raises:
            TimeoutError: Another command has been at it for `CHANGE_WAIT_S`.
        """
        make_private_folder(self._nats)
        until_s = time.monotonic() + CHANGE_WAIT_S
        with (self._nats / ".changing").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until_s:
                        raise TimeoutError("another command is changing who may use the bus") from None
                    time.sleep(_LOOK_S)
            yield

    @property
    def folder(self) -> Path:
        """Where the seeds of nats-server's users are."""
        return self._nats

    def nkey_file(self, user: str) -> Path:
        """Return the file that holds a user's seed."""
        return self._nats / f"{user}.nk"

    def claims_file(self, user: str) -> Path:
        """Return the file that holds the claims of an outside service."""
        return self._nats / f"{user}.claims"

    def _public_file(self, user: str) -> Path:
        return self._nats / f"{user}.pub"

    def _is_public(self, user: str) -> bool:
        """Return whether a user's public key is there; a crash of the machine may leave its file empty."""
        path = self._public_file(user)
        return path.exists() and path.stat().st_size > 0

    def _create_user(self, user: str) -> None:
        if self.nkey_file(user).exists() and self._is_public(user):
            return
        # The library of the bus takes longer to import than all else of a start, and is needed once.
        from parley_messaging.bus_keys import new_seed, public_key  # noqa: PLC0415 - see above

        if not self.nkey_file(user).exists():
            # A public key without its seed is of a user who was made anew by deleting the seed.
            self._public_file(user).unlink(missing_ok=True)
            create_once(self.nkey_file(user), new_seed())
        seed = self.nkey_file(user).read_text(encoding="ascii")
        replace_private(self._public_file(user), public_key(seed.strip()))

    def public_keys(self) -> Mapping[str, str]:
        """Return each user's public key: ours, the operator's, and those issued to outside services."""
        prefixes = (OUTSIDE_PREFIX, TOOLS_PREFIX)
        outside = sorted(path.stem for one in prefixes for path in self._nats.glob(f"{one}*.pub"))
        return {
            user: self._public_file(user).read_text(encoding="ascii").strip()
            for user in (*SERVICES, OPERATOR, *outside)
        }

    def issue(self, rights: BusRights) -> str:
        """Make a user for an outside service, unless it has one, and return the user's name."""
        make_private_folder(self._nats)
        self._create_user(rights.name)
        return rights.name

    def revoke(self, rights: BusRights) -> bool:
        """Forget an outside service's user; False when there was none."""
        user = rights.name
        was_there = self._public_file(user).exists()
        self._public_file(user).unlink(missing_ok=True)
        self.nkey_file(user).unlink(missing_ok=True)
        self.claims_file(user).unlink(missing_ok=True)
        return was_there

    def _password_file(self, user: str) -> Path:
        return self._redis / f"{user}.password"

    def redis_password(self, user: str) -> str:
        """Return a user's password for Redis."""
        return self._password_file(user).read_text(encoding="ascii").strip()

    def redis_hashes(self) -> Mapping[str, str]:
        """Return what redis-server keeps of each user's password."""
        return {
            user: hashlib.sha256(self.redis_password(user).encode()).hexdigest()
            for user in (*REDIS_USERS, OPERATOR)
        }
