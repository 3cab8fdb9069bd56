"""The fetching of a model as server-sent events: how it stands, then every change, until it is over."""

import asyncio
import logging
from collections.abc import AsyncGenerator

from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.local_models import ListPulls, ModelPull, ModelPullChanged, PullList, PullModel, tagged
from parley_messaging import Bus
from parley_messaging.bus import Delivery, Subscription
from parley_messaging.error_boundary import described
from pydantic import ValidationError
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from parley_gateway.principal import Principal
from parley_gateway.sockets import Sockets

log = logging.getLogger("parley.gateway")

ASK_S = 5.0
SILENCE_S = 10.0
"""Nothing heard for this long: whoever fetches may be gone, and is asked for."""

LONGEST_S = 3600.0
"""A client that is still there then asks again, and takes part in what is under way."""

KEEP_ALIVE = b": nothing new\n\n"


class PullEvents:
    """Has a model fetched, and watches: of changes that come faster than they are taken the last counts."""

    def __init__(self, bus: Bus, principal: Principal, model: str) -> None:
        self.principal = principal
        self._bus = bus
        self._model = tagged(model)
        self._latest: ModelPull | None = None
        self._has_news = asyncio.Event()
        self._is_over = False
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        """Hear of changes, and have the model fetched. Raises ParleyError."""
        self._subscription = await self._bus.subscribe(
            subjects.LLM_PULL_CHANGED, self._hear, on_drop=self._has_news.set
        )
        asked = PullModel(owner_id=self.principal.owner_id, model=self._model)
        try:
            begun = await self._bus.request(subjects.LLM_PULL_MODEL, asked, ModelPull, timeout_s=ASK_S)
        except BaseException:
            await self.close()
            raise
        # What was heard before may be the end of an earlier fetch.
        heard = self._latest
        self._latest = begun if heard is None or begun.is_after(heard) else heard

    async def _hear(self, delivery: Delivery) -> None:
        try:
            event = ModelPullChanged.model_validate_json(delivery.data)
        except ValidationError as error:
            log.warning("event of a fetch cannot be read", extra={"fault": described(error).message})
            return
        if event.pull.model == self._model and not event.is_to_stop:
            self._take(event.pull)

    def _take(self, pull: ModelPull) -> None:
        if self._latest is None or pull.is_after(self._latest):
            self._latest = pull
            self._has_news.set()

    async def events(self) -> AsyncGenerator[bytes]:
        """Yield how it stands, then after each change, until it is over."""
        try:
            async for line in self._lines():
                yield line
        except ParleyError as error:
            yield _event("error", error.body().model_dump_json(exclude_none=True))
        finally:
            await self.close()

    async def _lines(self) -> AsyncGenerator[bytes]:
        until_s = asyncio.get_running_loop().time() + LONGEST_S
        told: ModelPull | None = None
        while asyncio.get_running_loop().time() < until_s and not self._is_over:
            self._has_news.clear()
            found = self._latest
            if found is None or found == told:
                yield KEEP_ALIVE
            else:
                told = found
                yield _event("pull", found.model_dump_json(exclude_none=True))
                if found.is_settled:
                    return
            await self._news()

    async def _news(self) -> None:
        """Wait for a change, and ask how it stands when none comes."""
        try:
            async with asyncio.timeout(SILENCE_S):
                await self._has_news.wait()
        except TimeoutError:
            await self._look()

    async def _look(self) -> None:
        asked = ListPulls(owner_id=self.principal.owner_id)
        try:
            found = await self._bus.request(subjects.LLM_LIST_PULLS, asked, PullList, timeout_s=ASK_S)
        except ParleyError:
            # Nobody may answer for a while; who fetches may be well.
            return
        pull = next((pull for pull in found.pulls if pull.model == self._model), None)
        if pull is None:
            message = "Whoever fetched it is gone: ask again, what came is kept."
            raise ParleyError(ErrorCode.UNAVAILABLE, message)
        self._take(pull)

    def end(self) -> None:
        """Tell the client no more: the gateway stops, or he has lost what he came in by."""
        self._is_over = True
        self._has_news.set()

    async def close(self) -> None:
        """Watch no more; the fetch goes on. Repeated calls do nothing."""
        if self._subscription is not None:
            await self._subscription.unsubscribe()
            self._subscription = None


class PullStream(StreamingResponse):
    """The response; a client that leaves leaves no subscription."""

    def __init__(self, sockets: Sockets, events: PullEvents) -> None:
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


def _event(name: str, data: str) -> bytes:
    return f"event: {name}\ndata: {data}\n\n".encode()
