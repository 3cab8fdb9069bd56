"""Messages that nats-py cannot read: at the first one it would stop reading, and be deaf until that shows.

nats-server passes on whatever bytes stand in a subject, in the subject of an answer and in headers; whoever
publishes chooses them.
"""

import logging
from typing import Any

from nats.aio.client import Client
from pydantic import ValidationError

from parley_messaging.error_boundary import described
from parley_messaging.nats_access import hide_inboxes

log = logging.getLogger("parley.messaging")

_PLAIN = b"NATS/1.0\r\n"
_SEQUENCE = b"\r\nNats-Sequence:"
_OF_SERVER = (b"Nats-Stream:", b"Nats-Subject:", b"Nats-Sequence:", b"Nats-Time-Stamp:")
"""What nats-server writes before a stored message that is read directly, in place of its publisher's."""


def make_ours(connection: Client) -> None:
    """Have a new connection read whatever comes, and await answers where nobody guesses it."""
    hide_inboxes(connection)
    read_anything(connection)


def read_anything(connection: Client) -> None:
    """Have a new connection hand over what it cannot read: without its headers, and with subjects made text.

    Nothing is kept back: a job that nobody sees would be delivered again for ever.
    """
    process: Any = connection._process_msg  # pyright: ignore - there is no public way to see what comes
    subscriptions: dict[int, Any] = connection._subs  # pyright: ignore - see above

    async def process_anything(
        sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        subscription = subscriptions.get(sid)
        if headers and not headers.startswith(_PLAIN):
            headers = _without_status(headers)
        try:
            await process(sid, subject, reply, data, headers)
        except (ValueError, IndexError) as error:
            # It is counted before it is read; a subscription that has had its last one is forgotten then.
            connection.stats["in_msgs"] -= 1
            connection.stats["in_bytes"] -= len(data)
            if subscription is not None:
                subscription._received -= 1
                subscriptions[sid] = subscription
            # Text that is no UTF-8, or headers without the line that begins them.
            on = _as_text(subject)
            log.warning("message cannot be read whole", extra={"on": on, "error": type(error).__name__})
            await process(sid, on.encode(), _text_or_none(reply), data, _of_server(headers))

    connection._process_msg = process_anything  # pyright: ignore - see above


def note_unread(error: Exception) -> bool:
    """Log a message that a callback could not take for one of ours; return whether that is the error."""
    if not isinstance(error, ValueError):
        return False
    log.warning(
        "message cannot be taken",
        extra={
            "error": type(error).__name__,
            "fault": described(error).message if isinstance(error, ValidationError) else str(error),
        },
    )
    return True


def _without_status(headers: bytes) -> bytes:
    """Return the headers of a stored message without a status, which reads as one of the server's own."""
    return _PLAIN + headers.partition(b"\r\n")[2] if _SEQUENCE in headers else headers


def _of_server(headers: bytes | None) -> bytes:
    """Return of unreadable headers what says which stored message it is; nothing where it is none."""
    if headers is None or _SEQUENCE not in headers:
        return b""
    lines = [line for line in headers.split(b"\r\n") if line.startswith(_OF_SERVER)]
    return _PLAIN + _as_text(b"\r\n".join(lines)).encode() + b"\r\n\r\n"


def _as_text(subject: bytes) -> str:
    return subject.decode(errors="replace")


def _text_or_none(reply: bytes) -> bytes:
    """Return where an answer is wanted, or nothing: an answer elsewhere is nobody's."""
    return reply if _as_text(reply).encode() == reply else b""
