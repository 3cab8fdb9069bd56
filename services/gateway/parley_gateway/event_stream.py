"""An answer as server-sent events, whose turn is left alone when the client leaves."""

from collections.abc import AsyncGenerator, Mapping

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from parley_gateway.answer_reader import AnswerReader
from parley_gateway.sockets import Sockets


class EventStream(StreamingResponse):
    """Server-sent events; a client that leaves before the first of them leaves nothing open either."""

    def __init__(
        self,
        events: AsyncGenerator[bytes],
        *,
        sockets: Sockets,
        reader: AnswerReader,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            events,
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no", **(headers or {})},
        )
        self._sockets = sockets
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._sockets.streaming():
                await super().__call__(scope, receive, send)
        finally:
            await self._reader.release()
