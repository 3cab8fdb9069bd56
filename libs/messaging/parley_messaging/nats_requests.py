"""Requests over FastStream: the broker, how it hands a request over, and how it is drained."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from faststream.nats import NatsBroker, NatsMessage, NatsResponse

from parley_messaging.error_boundary import WireReply
from parley_messaging.inboxes import is_inbox

log = logging.getLogger("parley.messaging")

Answer = Callable[[bytes, dict[str, str], str], Awaitable[WireReply]]

SUBSCRIBER_MARGIN = 64
"""FastStream workers beyond running and waiting requests, so that a refusal need not wait in line."""


async def _whole(message: NatsMessage) -> NatsMessage:
    """Hand the message over as it is: FastStream guesses whether an untyped body is JSON."""
    return message


class RequestBroker:
    """FastStream's broker, used for requests only; its connection carries everything else too."""

    def __init__(self, *, grace_s: float, **connection_options: Any) -> None:
        self.broker = NatsBroker(
            **connection_options, decoder=_whole, apply_types=False, logger=None, graceful_timeout=grace_s
        )

    def answer(self, subject: str, group: str, workers: int, answer: Answer) -> None:
        """Answer requests on `subject` as one member of `group`."""

        async def respond(message: NatsMessage) -> NatsResponse:
            if message.reply_to and not is_inbox(message.reply_to):
                log.error(
                    "request dropped: its answer would go where answers do not",
                    extra={"subject": subject, "reply": message.reply_to},
                )
                message.reply_to = ""
                return NatsResponse(b"")
            reply = await answer(message.body, message.headers, message.raw_message.subject)
            return NatsResponse(reply.data, headers=reply.headers)

        subscribe: Any = self.broker.subscriber
        subscribe(subject, queue=group, max_workers=workers + SUBSCRIBER_MARGIN)(respond)

    async def drain(self) -> None:
        """Leave the queue groups, then wait until whatever had arrived is answered."""
        subscribers: list[Any] = list(self.broker.subscribers)
        for subscriber in subscribers:
            if subscriber.subscription is not None:
                await subscriber.subscription.drain()
                # FastStream would unsubscribe it a second time, which nats-py refuses.
                subscriber.subscription = None
        # FastStream's buffer tells nobody when it runs empty.
        while any(found.send_stream.statistics().current_buffer_used for found in subscribers):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0)
        # What left the buffer starts to count as running one turn of the loop later.
        await asyncio.sleep(0)
        await asyncio.gather(*(subscriber.stop() for subscriber in subscribers))
