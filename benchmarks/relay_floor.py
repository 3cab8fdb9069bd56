"""The floor of relaying: a bare nats-py callback that sends each frame to a uvicorn WebSocket.

One wildcard subscription, one look-up of the socket by subject, one send. No checks, no buffer, no replay.
"""

# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import nats
import uvicorn
import uvloop
from nats.aio.msg import Msg
from parley_contracts import subjects
from parley_messaging.nats_bus import PENDING_BYTES, PENDING_MESSAGES

HOME = "floor"
Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class Floor:
    """The ASGI application and the callback."""

    def __init__(self) -> None:
        self._sends: dict[str, Send] = {}

    async def on_frame(self, message: Msg) -> None:
        send = self._sends.get(message.subject)
        if send is not None:
            await send({"type": "websocket.send", "text": message.data.decode()})

    async def app(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})
            return
        await receive()
        await send({"type": "websocket.accept"})
        turns: list[str] = []
        while (message := await receive())["type"] != "websocket.disconnect":
            frame = json.loads(message["text"])
            if frame["type"] == "ping":
                await send({"type": "websocket.send", "text": '{"type":"pong"}'})
                continue
            turns.append(subjects.turn_events(HOME, frame["turn_id"]))
            self._sends[turns[-1]] = send
        for subject in turns:
            self._sends.pop(subject, None)


async def serve(nats_url: str, port: int, ws: Any) -> None:
    floor = Floor()
    connection = await nats.connect(nats_url)
    await connection.subscribe(
        subjects.turn_events_of(HOME),
        cb=floor.on_frame,
        pending_msgs_limit=PENDING_MESSAGES,
        pending_bytes_limit=PENDING_BYTES,
    )
    config = uvicorn.Config(
        floor.app,
        interface="asgi3",
        host="127.0.0.1",
        port=port,
        ws=ws,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        lifespan="off",
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(uvicorn.Server(config).serve())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nats-url", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ws", default="wsproto")
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.nats_url, arguments.port, arguments.ws))


if __name__ == "__main__":
    main()
