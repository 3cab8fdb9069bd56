"""Logins that somebody has begun: what only his browser and this service know of them, and each good once.

A browser keeps its attempt itself, sealed: beginning one leaves nothing in the database.
"""

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass

from parley_envelope import SealError
from parley_storage import Database

from parley_accounts.clock import Clock
from parley_accounts.key_ring import KeyRing
from parley_accounts.oidc.faults import LoginFault, RefusedLoginError
from parley_accounts.tables import oidc_attempts

_PURPOSE = "oidc attempt"
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Attempt:
    """A login that was begun.

    Attributes:
        id: What it is known by when it is used up.
        state: What the provider hands back with the code.
        nonce: What the ID token has to carry.
        verifier: What proves to the provider that the code was asked for here (RFC 7636).
        return_to: Where the browser goes afterwards.
        begun_at_ms: When it was begun.
    """

    id: str
    state: str
    nonce: str
    verifier: str
    return_to: str
    begun_at_ms: int

    @property
    def challenge(self) -> str:
        """What the provider is told of the verifier beforehand."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Attempts:
    """Begins them, and takes each back once."""

    def __init__(self, database: Database, ring: KeyRing, *, lasts_s: int, clock: Clock) -> None:
        self._database = database
        self._ring = ring
        self._lasts_ms = lasts_s * 1000
        self._clock = clock

    async def begin(self, return_to: str) -> tuple[Attempt, str]:
        """Return a new attempt, and the proof of it for the browser alone."""
        attempt = Attempt(
            id=_new_secret(),
            state=_new_secret(),
            nonce=_new_secret(),
            verifier=_new_secret(),
            return_to=return_to,
            begun_at_ms=self._clock(),
        )
        text = json.dumps(asdict(attempt)).encode()
        proof = await self._database.read(
            lambda connection: self._ring.seal(connection, text, purpose=_PURPOSE)
        )
        # Without padding, which a cookie would have to be quoted for.
        return attempt, proof.rstrip("=")

    def read(self, proof: str, state: str) -> Attempt:
        """Return the attempt that a browser proves, whose state the provider has handed back."""
        try:
            padding = "=" * (-len(proof.rpartition(".")[2]) % 4)
            attempt = Attempt(**json.loads(self._ring.open(proof + padding, purpose=_PURPOSE)))
        except (SealError, UnicodeError) as error:
            raise RefusedLoginError(LoginFault.NO_PROOF) from error
        if not hmac.compare_digest(attempt.state.encode(), state.encode(errors="surrogatepass")):
            raise RefusedLoginError(LoginFault.OTHER_STATE)
        if not 0 <= self._clock() - attempt.begun_at_ms < self._lasts_ms:
            raise RefusedLoginError(LoginFault.TOO_LATE)
        return attempt

    async def use(self, attempt: Attempt) -> None:
        """Let an attempt be good no more; of several who use it, one does."""
        row = self._database.insert(oidc_attempts).values(
            id=attempt.id, expires_at_ms=attempt.begun_at_ms + self._lasts_ms
        )
        once = row.on_conflict_do_nothing()
        if not await self._database.write(lambda connection: connection.execute(once).rowcount):
            raise RefusedLoginError(LoginFault.USED)


def _new_secret() -> str:
    return secrets.token_urlsafe(_SECRET_BYTES)
