"""What a channel of the catalogue is: a subject with what travels on it."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel

from parley_contracts import subjects
from parley_contracts.errors import ErrorBody

CORE = "core"
"""`carried_by` of what no stream keeps."""


class ChannelKind(StrEnum):
    """What a message on a channel is.

    A command is for one handler, an event for anybody, a request is answered, and a claim is the first
    (and only) message of its subject or is refused.
    """

    COMMAND = "command"
    EVENT = "event"
    REQUEST = "request"
    CLAIM = "claim"


@dataclass(frozen=True, slots=True)
class Channel:
    """One subject, or a family of subjects that differ in their `*` parts.

    Attributes:
        pattern: The subject; one `*` for each of `parameters`.
        kind: What a message on it is.
        carried_by: The JetStream stream that keeps it, or `CORE`.
        messages: What travels on it.
        replies: What comes back, an error included; empty unless it is a request.
        sender: Who publishes.
        receiver: Who handles it; of a request that errors are replies to, also its queue group.
        meaning: One line for people.
        parameters: Names of the `*` parts, in order.
        is_bare: Its messages carry none of our headers.
    """

    pattern: str
    kind: ChannelKind
    carried_by: str
    messages: tuple[type[BaseModel], ...]
    sender: str
    receiver: str
    meaning: str
    replies: tuple[type[BaseModel], ...] = ()
    parameters: tuple[str, ...] = ()
    is_bare: bool = False

    @property
    def name(self) -> str:
        """What the channel is called: its fixed subject parts, such as `turn_pen`."""
        parts = self.pattern.removeprefix(f"{subjects.PREFIX}.").split(".")
        return "_".join(part for part in parts if part != "*")

    @property
    def address(self) -> str:
        """The pattern with `{name}` in place of each `*`."""
        names = iter(self.parameters)
        return ".".join(f"{{{next(names)}}}" if part == "*" else part for part in self.pattern.split("."))


@dataclass(frozen=True, slots=True)
class SocketChannel:
    """The WebSocket of the public surface; turn events pass through it as they stand on the bus."""

    path: str
    from_client: tuple[type[BaseModel], ...]
    to_client: tuple[type[BaseModel], ...]
    meaning: str


def request_channel(
    receiver: str,
    subject: str,
    asked: type[BaseModel],
    reply: type[BaseModel],
    meaning: str,
    *,
    sender: str = "gateway",
    parameters: tuple[str, ...] = (),
) -> Channel:
    """Return the channel of a request, which `receiver` answers with a reply or an error."""
    return Channel(
        subject,
        ChannelKind.REQUEST,
        CORE,
        (asked,),
        sender,
        receiver,
        meaning,
        replies=(reply, ErrorBody),
        parameters=parameters,
    )
