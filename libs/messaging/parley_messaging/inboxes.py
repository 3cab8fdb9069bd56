"""Where answers go: names that nobody can guess, and what may be one."""

import secrets

PREFIX = "_INBOX"
_NAME_BYTES = 16
"""22 characters of base64: nats-py cuts an answer's token off behind a name of that length."""


def is_inbox(subject: str) -> bool:
    """Return whether somebody may want an answer there.

    nats-server checks where a message goes and not where its sender wants the answer: whoever answers on any
    other subject publishes there what its asker may not.
    """
    return subject.startswith((f"{PREFIX}.", f"{PREFIX}_"))


class InboxNames:
    """In place of nats-py's NUID, which counts: who is asked once could tell where others are awaited."""

    def next(self) -> bytearray:
        """Return a name."""
        return bytearray(secrets.token_urlsafe(_NAME_BYTES).encode())
