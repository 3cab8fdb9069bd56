"""What handlers have in common: an answer for what answers nothing, and events that are told afterwards."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from parley_contracts.model import WireModel
from parley_contracts.replies import Done

from parley_accounts.outbox import Outbox

Asked = TypeVar("Asked", bound=WireModel)
Answered = TypeVar("Answered", bound=WireModel)


def done(work: Callable[[Asked], Awaitable[None]]) -> Callable[[Asked], Awaitable[Done]]:
    """Return a handler that answers when the work is done."""

    async def handle(request: Asked) -> Done:
        await work(request)
        return Done()

    return handle


def telling(
    outbox: Outbox, work: Callable[[Asked], Awaitable[Answered]]
) -> Callable[[Asked], Awaitable[Answered]]:
    """Return a handler after which events may wait: also when its caller leaves while it commits."""

    async def handle(request: Asked) -> Answered:
        try:
            return await work(request)
        finally:
            outbox.wake()

    return handle
