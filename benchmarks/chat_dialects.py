"""How a chat is held with each contender, in the bytes that its own clients send and read.

A dialect opens a connection, puts a question, knows the end of an answer, and reads the pieces of text out of
what came. `raw` is everything since the question; a piece comes with the offset at which it was complete.
Sources: RFC 6455 (WebSocket), https://socket.io/docs/v4/socket-io-protocol/ (Chainlit),
https://platform.openai.com/docs/api-reference/chat-streaming.
"""

import json
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Protocol
from uuid import uuid4

from parley_cli.client.turn_socket import new_turn_id

from benchmarks.upstream import MODEL

Piece = tuple[int, str]
Until = Callable[[bytes], Awaitable[None]]
_TEXT = 1
_CLOSE, _PING = 8, 9
_CHUNK = re.compile(rb"([0-9a-fA-F]+)\r\n")


class Connection(Protocol):
    """What a dialect needs of a connection while it opens it."""

    raw: bytearray

    def write(self, data: bytes) -> None: ...
    async def until(self, wanted: bytes) -> None: ...


class Dialect(Protocol):
    """One way to chat. `ends` are the bytes that end an answer, well or badly."""

    @property
    def ends(self) -> tuple[bytes, ...]: ...
    async def open(self, connection: Connection, port: int, key: str) -> None: ...
    def question(self, text: str) -> bytes: ...
    def pieces(self, raw: bytes) -> Iterator[Piece]: ...
    def reply_to(self, data: bytes) -> bytes: ...


class OpenAiDialect:
    """`POST /v1/chat/completions` with `stream`: the upstream itself, and LiteLLM."""

    ends = (b"\r\n0\r\n\r\n",)

    def __init__(self) -> None:
        self._head = ""

    async def open(self, connection: Connection, port: int, key: str) -> None:
        self._head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        )

    def question(self, text: str) -> bytes:
        body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": text}]}
        payload = json.dumps(body).encode()
        return f"{self._head}Content-Length: {len(payload)}\r\n\r\n".encode() + payload

    def pieces(self, raw: bytes) -> Iterator[Piece]:
        held = b""
        for end, chunk in _chunks(raw):
            *lines, held = (held + chunk).split(b"\n")
            for line in lines:
                data = line.strip().removeprefix(b"data: ")
                if not data.startswith(b"{"):
                    continue
                choices: list[dict[str, Any]] = json.loads(data).get("choices") or []
                if choices and (text := choices[0]["delta"].get("content")):
                    yield end, text

    def reply_to(self, data: bytes) -> bytes:
        return b""


def _chunks(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the chunks of a chunked HTTP response, each with the offset of its end."""
    at = raw.find(b"\r\n\r\n") + 4
    while size := _CHUNK.match(raw, at):
        end = size.end() + int(size.group(1), 16)
        if end == size.end() or end > len(raw):
            return
        yield end, raw[size.end() : end]
        at = end + 2


class _WebSocketDialect:
    """What the two that speak WebSocket share."""

    path = "/ws"

    async def _upgrade(self, connection: Connection, port: int, key: str) -> None:
        connection.write(
            (
                f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                f"Sec-WebSocket-Version: 13\r\nAuthorization: Bearer {key}\r\n\r\n"
            ).encode()
        )
        await connection.until(b"\r\n\r\n")
        if not connection.raw.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(bytes(connection.raw).decode(errors="replace"))

    def reply_to(self, data: bytes) -> bytes:
        return pong_for(data)


class ParleyDialect(_WebSocketDialect):
    """The gateway's WebSocket; models of one pool are asked."""

    def __init__(self, pool: str = "ollama") -> None:
        self._pool = pool

    ends = (b'"type":"turn_completed"', b'"type":"turn_failed"', b'"type":"error"')

    async def open(self, connection: Connection, port: int, key: str) -> None:
        await self._upgrade(connection, port, key)

    def question(self, text: str) -> bytes:
        frame: dict[str, Any] = {
            "type": "start_turn",
            "turn_id": new_turn_id(),
            "text": text,
            "collections": [],
            "model": f"{self._pool}/{MODEL}",
        }
        return client_frame(json.dumps(frame).encode())

    def pieces(self, raw: bytes) -> Iterator[Piece]:
        for end, payload in server_frames(raw):
            if b'"type":"text_delta"' in payload:
                yield end, json.loads(payload)["text"]


class ChainlitDialect(_WebSocketDialect):
    """Chainlit's Socket.IO over WebSocket, as its web page speaks it."""

    path = "/ws/socket.io/?EIO=4&transport=websocket"
    ends = (b'42["task_end"',)
    _PING = b"\x81\x012"

    async def open(self, connection: Connection, port: int, key: str) -> None:
        await self._upgrade(connection, port, key)
        await connection.until(b"0{")
        auth = {
            "clientType": "webapp",
            "sessionId": str(uuid4()),
            "userEnv": "",
            "chatProfile": "",
            "threadId": "",
        }
        connection.write(client_frame(b"40" + json.dumps(auth).encode()))
        await connection.until(b"40{")
        connection.write(client_frame(b'42["connection_successful"]'))
        await connection.until(b'"clear_call_fn"')

    def question(self, text: str) -> bytes:
        message = {
            "id": str(uuid4()),
            "threadId": "",
            "name": "user",
            "type": "user_message",
            "output": text,
            "createdAt": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
        }
        event: list[Any] = ["client_message", {"message": message, "fileReferences": []}]
        return client_frame(b"42" + json.dumps(event).encode())

    def pieces(self, raw: bytes) -> Iterator[Piece]:
        for end, payload in server_frames(raw):
            if payload.startswith(b'42["stream_token"'):
                yield end, json.loads(payload[2:])[1]["token"]
            elif payload.startswith(b'42["stream_start"'):
                yield end, json.loads(payload[2:])[1].get("output", "")

    def reply_to(self, data: bytes) -> bytes:
        return client_frame(b"3") if self._PING in data else super().reply_to(data)


DIALECTS: dict[str, Callable[[], Dialect]] = {
    "openai": OpenAiDialect,
    "parley": ParleyDialect,
    "parley-openai": partial(ParleyDialect, "openai"),
    "parley-anthropic": partial(ParleyDialect, "anthropic"),
    "chainlit": ChainlitDialect,
}


def client_frame(payload: bytes, *, opcode: int = _TEXT) -> bytes:
    """Return a frame as a client sends it, masked with zeros."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes([0x80 | opcode]) + length + bytes(4) + payload


def server_frames(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the payloads of the whole text frames in what a server sent, each with the offset of its end."""
    at = 0
    while at + 2 <= len(raw):
        opcode, size = raw[at] & 15, raw[at + 1]
        at += 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size = int.from_bytes(raw[at : at + width], "big")
            at += width
        at += size
        if at > len(raw):
            return
        if opcode == _TEXT:
            yield at, raw[at - size : at]


def pong_for(data: bytes) -> bytes:
    """Return the answer to a ping in what a server sent, or nothing; servers close what does not answer."""
    # Text of a benchmark is ASCII; the byte in the length of a frame gets a pong that nobody asked for.
    found = data.find(b"\x89")
    if found < 0 or len(data) < found + 2 or data[found + 1] > 125:
        return b""
    return client_frame(data[found + 2 : found + 2 + data[found + 1]], opcode=10)
