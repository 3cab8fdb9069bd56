"""Who an anonymous visitor is: a token that the gateways sign, good for one bot, one page and one session."""

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass

from parley_contracts.errors import ErrorCode, ParleyError

_FORM = "vt1"
_FIELDS = 7
MAX_CHARS = 512
VISITOR_START = "visitor-"
"""What the owner ids of visitors begin with; no user's does."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """A visitor of a bot.

    Attributes:
        bot_id: The bot; of another one he is nobody.
        id: 128 random bits.
        session: The conversation that is his; empty until his first turn is accepted.
        is_kept: Whether the session is kept as a conversation.
        expires_s: Until when the token is good, Unix seconds.
    """

    bot_id: str
    id: str
    session: str = ""
    is_kept: bool = True
    expires_s: int = 0

    @property
    def owner_id(self) -> str:
        """Whose his turns and his conversation are: no user's, whose ids hold no such word, but his alone."""
        return f"{VISITOR_START}{self.bot_id}-{self.id}"


class VisitorTokens:
    """Makes and reads tokens under a key that all gateways share."""

    def __init__(self, secret: bytes, *, lasts_s: int) -> None:
        self._key = hmac.digest(secret, b"visitor", "sha256")
        self._lasts_s = lasts_s

    def new_visitor(self, bot_id: str) -> Visitor:
        """Return a visitor who has not been there before."""
        return Visitor(bot_id, secrets.token_hex(16))

    def issue(self, visitor: Visitor, origin: str) -> str:
        """Return the token by which a visitor comes back from the pages of an origin.

        The one that he has is good until half of its time is over; then he is given one that lasts longer.
        """
        now_s = int(time.time())
        expires_s = visitor.expires_s
        if expires_s - now_s < self._lasts_s / 2:
            expires_s = now_s + self._lasts_s
        kept = "1" if visitor.is_kept else "0"
        parts = (_FORM, visitor.bot_id, visitor.id, visitor.session, kept, str(expires_s))
        return ".".join((*parts, self._sign(parts, origin)))

    def read(self, token: str, *, bot_id: str, origin: str) -> Visitor:
        """Return whose token it is; `unauthenticated`, always in the same words, when it is not good here."""
        parts = token.split(".") if len(token) <= MAX_CHARS and token.isascii() else []
        if len(parts) != _FIELDS:
            raise _refused()
        *signed, signature = parts
        is_signed = hmac.compare_digest(signature, self._sign(signed, origin))
        form, of_bot, visitor_id, session, kept, expires = signed
        # A signature is over what this class wrote: only then are the parts what they look like.
        if not is_signed or form != _FORM or of_bot != bot_id or int(expires) <= time.time():
            raise _refused()
        return Visitor(of_bot, visitor_id, session, is_kept=kept == "1", expires_s=int(expires))

    def _sign(self, parts: "tuple[str, ...] | list[str]", origin: str) -> str:
        return hmac.new(self._key, "\n".join((*parts, origin)).encode(), hashlib.sha256).hexdigest()


def _refused() -> ParleyError:
    return ParleyError(ErrorCode.UNAUTHENTICATED, "The visitor's token is not valid; begin a new session.")
