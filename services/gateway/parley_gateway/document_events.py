"""A document's way through ingestion as server-sent events."""

import asyncio
import logging
from collections.abc import AsyncGenerator

from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import Document, DocumentChanged, DocumentStatus, ReadDocument
from parley_messaging import Bus
from parley_messaging.bus import Delivery, Subscription
from parley_messaging.error_boundary import described
from pydantic import ValidationError
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from parley_gateway.principal import Principal
from parley_gateway.sockets import Sockets

log = logging.getLogger("parley.gateway")

READ_S = 5.0
SILENCE_S = 10.0
"""Nothing heard for this long: the document is read anew, as an event may have been missed."""

LONGEST_S = 3600.0
"""A client that is still there then connects again by itself, as every reader of such events does."""

KEEP_ALIVE = b": nothing new\n\n"
_SETTLED = (DocumentStatus.READY, DocumentStatus.FAILED, DocumentStatus.CANCELLED)


class DocumentEvents:
    """Watches one document; of changes that come faster than they are taken only the last is kept."""

    def __init__(self, bus: Bus, owner_id: str, document_id: str) -> None:
        self._bus = bus
        self._request = ReadDocument(owner_id=owner_id, document_id=document_id)
        self._latest: Document | None = None
        self._has_news = asyncio.Event()
        self._is_over = False
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        """Hear of changes, and read how it stands; ParleyError `not_found` when it is not the owner's."""
        try:
            subject = subjects.ingest_events(self._request.document_id)
        except ValueError:
            raise ParleyError(
                ErrorCode.NOT_FOUND, "There is no such document.", field="document_id"
            ) from None
        self._subscription = await self._bus.subscribe(subject, self._take)
        try:
            await self._look()
        except BaseException:
            await self.close()
            raise

    async def _look(self) -> None:
        while True:
            self._has_news.clear()
            self._latest = await self._bus.request(
                subjects.RAG_READ_DOCUMENT, self._request, Document, timeout_s=READ_S
            )
            if not self._has_news.is_set():  # what came meanwhile may be newer than the answer
                return

    async def _take(self, delivery: Delivery) -> None:
        try:
            self._latest = DocumentChanged.model_validate_json(delivery.data).document
        except ValidationError as error:
            log.warning("document event cannot be read", extra={"fault": described(error).message})
            return
        self._has_news.set()

    async def events(self) -> AsyncGenerator[bytes]:
        """Yield the document as it stands, then after each change, until it is through or gone."""
        try:
            async for line in self._lines():
                yield line
        except ParleyError as error:
            yield _event("error", error.body().model_dump_json(exclude_none=True))
        finally:
            await self.close()

    async def _lines(self) -> AsyncGenerator[bytes]:
        until_s = asyncio.get_running_loop().time() + LONGEST_S
        told: Document | None = None
        while asyncio.get_running_loop().time() < until_s and not self._is_over:
            self._has_news.clear()
            if (found := self._latest) is None or found == told:
                yield KEEP_ALIVE
            else:
                told = found
                yield _event("document", found.model_dump_json(exclude_none=True))
                if found.status in _SETTLED and not found.is_reindexing:
                    return
            await self._news()

    async def _news(self) -> None:
        """Wait for a change, and look for one that was missed when none comes."""
        try:
            async with asyncio.timeout(SILENCE_S):
                await self._has_news.wait()
        except TimeoutError:
            try:
                await self._look()
            except ParleyError as error:
                if error.code is ErrorCode.NOT_FOUND:
                    raise

    def end(self) -> None:
        """Tell the client no more: the gateway stops, or he has lost what he came in by."""
        self._is_over = True
        self._has_news.set()

    async def close(self) -> None:
        """Watch no more; repeated calls do nothing."""
        if self._subscription is not None:
            await self._subscription.unsubscribe()
            self._subscription = None


class EventStream(StreamingResponse):
    """The response; a client that leaves leaves no subscription."""

    def __init__(self, sockets: Sockets, events: DocumentEvents, principal: Principal | None = None) -> None:
        super().__init__(
            events.events(),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )
        self._sockets = sockets
        self._events = events
        self._principal = principal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._sockets.watching(self._events.end, self._principal):
                await super().__call__(scope, receive, send)
        finally:
            await self._events.close()


def _event(name: str, data: str) -> bytes:
    return f"event: {name}\ndata: {data}\n\n".encode()
