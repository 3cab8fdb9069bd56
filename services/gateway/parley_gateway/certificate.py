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
        """Read both files; OSError or ValueError says which cannot be used."""
        self._chain = chain
        self._key = key
        self._read = self._state()
        self._refusal = ""
        self.context = self._current = self._load()
        # Called in each handshake, with and without the name of a server.
        self.context.sni_callback = self._hand_over

    def _hand_over(self, handshake: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        handshake.context = self._current

    def _state(self) -> tuple[tuple[int, int, int], ...]:
        states = (path.stat() for path in (self._chain, self._key))
        return tuple((state.st_mtime_ns, state.st_size, state.st_ino) for state in states)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._chain, self._key, password=_no_password)
        except (OSError, ValueError) as error:
            # SSLError is an OSError; of a key with a password it is a ValueError.
            reason = getattr(error, "strerror", None) or str(error)
            raise ValueError(
                f"{self._chain} and {self._key} are no certificate with its key: {reason}"
            ) from None
        return context

    def renew(self) -> bool:
        """Read the files again if they have changed; return whether new connections get another certificate.

        A pair that does not fit yet, because only one file was replaced so far, changes nothing. What is used
        is what was found good, whatever is written meanwhile.
        """
        try:
            if (found := self._state()) == self._read:
                return False
            self._current = self._load()
        except (OSError, ValueError) as error:
            self._complain(str(error))
            return False
        self._read = found
        self._refusal = ""
        log.info("certificate renewed")
        return True

    def _complain(self, reason: str) -> None:
        # Files that stay wrong are looked at for ever, and told of once.
        if reason != self._refusal:
            self._refusal = reason
            log.warning("new certificate cannot be used", extra={"reason": reason})

    async def watch(self) -> None:
        """Look at the files for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.renew()


def _no_password() -> str:
    # Without this, OpenSSL asks for one at the terminal and hangs.
    raise ValueError("the key is locked by a password")
