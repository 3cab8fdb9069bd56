"""The gateway's certificate: read at the start, and again when its files have changed."""

import asyncio
import logging
import ssl
from pathlib import Path

log = logging.getLogger("parley.gateway")

LOOK_S = 10.0


class Certificate:
    """What TLS connections begin with; those that are open keep what they began with."""

    def __init__(self, chain: Path, key: Path) -> None:
        """Read both files; ValueError says which pair cannot be used."""
        self._chain = chain
        self._key = key
        self._read = self._state()
        self.context = self._load()

    def _state(self) -> tuple[tuple[int, int], ...]:
        states = (path.stat() for path in (self._chain, self._key))
        return tuple((state.st_mtime_ns, state.st_ino) for state in states)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._chain, self._key, password=_no_password)
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ValueError(
                f"{self._chain} and {self._key} are no certificate with its key: {reason}"
            ) from None
        return context

    def renew(self) -> bool:
        """Read the files again if they have changed; return whether new connections get another certificate.

        A pair that does not fit yet, because only one file was replaced so far, changes nothing.
        """
        try:
            if (found := self._state()) == self._read:
                return False
            self._load()
        except (OSError, ValueError) as error:
            log.warning("new certificate cannot be used", extra={"reason": str(error)})
            return False
        self._read = found
        self.context.load_cert_chain(self._chain, self._key, password=_no_password)
        log.info("certificate renewed")
        return True

    async def watch(self) -> None:
        """Look at the files for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            # In the loop's thread, where handshakes begin: OpenSSL does not let both use the context at once.
            self.renew()


def _no_password() -> str:
    # Without this, OpenSSL asks for one at the terminal and hangs.
    raise ValueError("the key is locked by a password")
