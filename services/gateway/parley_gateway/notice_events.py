"""A user's notices as server-sent events: how they stand, and again whenever they change."""

import asyncio
from collections.abc import AsyncGenerator

from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.notices import ListNotices, NoticeList
from parley_messaging import Bus
from parley_messaging.bus import Delivery, Subscription
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from parley_gateway.principal import Principal
from parley_gateway.sockets import Sockets

READ_S = 5.0
SILENCE_S = 15.0
"""Nothing heard for this long: notices are read anew, as an event may have been missed."""
LONGEST_S = 3600.0
"""A client that is still there then connects again by itself, as every reader of such events does."""
SHOWN = 10
KEEP_ALIVE = b": nothing new\n\n"
_ENDED = frozenset({ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN})


class NoticeEvents:
    """Watches the notices of one user; of changes that come faster than they are read the last counts."""

    def __init__(self, bus: Bus, principal: Principal, *, for_s: float = LONGEST_S) -> None:
        self.principal = principal
        self._bus = bus
        self._for_s = for_s
        self._request = ListNotices(**principal.asking, limit=SHOWN)
        self._latest: NoticeList | None = None
        self._has_news = asyncio.Event()
        self._is_over = False
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        """Hear of changes, and read how notices stand."""
        subject = subjects.notice_events(self.principal.owner_id)
        self._subscription = await self._bus.subscribe(subject, self._hear, on_drop=self._has_news.set)
        try:
            await self._look()
        except BaseException:
            await self.close()
            raise

    async def _look(self) -> None:
        self._has_news.clear()  # what comes meanwhile is looked for once more
        self._latest = await self._bus.request(
            subjects.ACCOUNTS_LIST_NOTICES, self._request, NoticeList, timeout_s=READ_S
        )

    async def _hear(self, _: Delivery) -> None:
        self._has_news.set()

    async def events(self) -> AsyncGenerator[bytes]:
        """Yield how notices stand, and again after each change, until the time is over."""
        until_s = asyncio.get_running_loop().time() + self._for_s
        told: NoticeList | None = None
        try:
            while not self._is_over:
                if self._latest == told or self._latest is None:
                    yield KEEP_ALIVE
                else:
                    told = self._latest
                    yield f"event: notices\ndata: {told.model_dump_json(exclude_none=True)}\n\n".encode()
                if not await self._news(until_s):
                    return
        except ParleyError as error:
            yield f"event: error\ndata: {error.body().model_dump_json(exclude_none=True)}\n\n".encode()
        finally:
            await self.close()

    async def _news(self, until_s: float) -> bool:
        """Wait for a change, or until it is time to look for one; False when all time is over."""
        left_s = until_s - asyncio.get_running_loop().time()
        if left_s <= 0:
            return False
        try:
            async with asyncio.timeout(min(SILENCE_S, left_s)):
                await self._has_news.wait()
        except TimeoutError:
            pass
        if self._is_over:
            return False
        try:
            await self._look()
        except ParleyError as error:
            # Accounts may be away for a while; who may read no more is told so.
            if error.code in _ENDED:
                raise
        return True

    def end(self) -> None:
        """Tell the client no more: the gateway stops, or he has lost what he came in by."""
        self._is_over = True
        self._has_news.set()

    async def close(self) -> None:
        """Watch no more; repeated calls do nothing."""
        if self._subscription is not None:
            await self._subscription.unsubscribe()
            self._subscription = None


class NoticeStream(StreamingResponse):
    """The response; a client that leaves leaves no subscription."""

    def __init__(self, sockets: Sockets, events: NoticeEvents) -> None:
        super().__init__(
            events.events(),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )
        self._sockets = sockets
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._sockets.watching(self._events.end, self._events.principal):
                await super().__call__(scope, receive, send)
        finally:
            await self._events.close()
