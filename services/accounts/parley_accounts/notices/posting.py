"""Posts one signed event to somebody's server, and says what became of it."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Protocol

from parley_contracts.errors import ParleyError
from parley_egress import Posted, PostError, TargetRefusedError

from parley_accounts.clock import Clock, unix_ms
from parley_accounts.notices.signatures import signed_headers


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one attempt to deliver something.

    Attributes:
        is_done: It was taken.
        status: What the server answered, of HTTP or SMTP.
        problem: Why it was not taken, in words that tell nothing of the network.
        is_final: To try again would be no use.
        is_gone: The server says that it wants no more.
        asked_s: How long the server asks to be left alone.
    """

    is_done: bool
    status: int | None = None
    problem: str | None = None
    is_final: bool = False
    is_gone: bool = False
    asked_s: int | None = None


@dataclass(frozen=True, slots=True)
class Hook:
    """Where to post, and what signs it, the present secret first."""

    url: str
    keys: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"Hook(url={self.url!r})"


class Posting(Protocol):
    """What posts to other people's servers."""

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> Posted:
        """Return what was answered; raises as `parley_egress.Poster` does."""
        ...


def payload_of(kind: str, at_ms: int, data: dict[str, Any]) -> bytes:
    """Return the body of an event."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"type": kind, "timestamp": at, "data": data}, separators=(",", ":")).encode()


class HookPoster:
    """Signs and posts; whatever happens is told as an attempt."""

    def __init__(self, posting: Posting, *, clock: Clock = unix_ms) -> None:
        self._posting = posting
        self._clock = clock

    async def post(self, hook: Hook, message_id: str, body: bytes) -> Attempt:
        """Post an event; `message_id` is the same for each of its attempts."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Parley-Webhooks/1",
            **signed_headers(message_id, self._clock() // 1000, body, hook.keys),
        }
        try:
            posted = await self._posting.post(hook.url, body, headers)
        except (ParleyError, TargetRefusedError):
            return Attempt(is_done=False, problem="The address may not be reached.")
        except PostError as error:
            return Attempt(is_done=False, problem=f"Not delivered: {error}.")
        if HTTPStatus.OK <= posted.status < HTTPStatus.MULTIPLE_CHOICES:
            return Attempt(is_done=True, status=posted.status)
        is_gone = posted.status == HTTPStatus.GONE
        return Attempt(
            is_done=False,
            status=posted.status,
            problem=f"The server answered {posted.status}.",
            is_final=is_gone,
            is_gone=is_gone,
            asked_s=_seconds(posted.retry_after),
        )


def _seconds(retry_after: str | None) -> int | None:
    is_number = retry_after is not None and retry_after.isascii() and retry_after.isdigit()
    return int(retry_after[:9]) if retry_after is not None and is_number else None
