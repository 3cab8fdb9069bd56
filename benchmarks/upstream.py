"""A model server that writes stamped answers at a given pace, as Ollama, OpenAI and Anthropic do.

Lean, because it shares the cores with what is measured: a bare protocol, no framework. The question says the
pace (`stamped_text.Pace`); a pace without a gap writes ten words at a time, as fast as they are taken.
Sources: https://github.com/ollama/ollama/blob/main/docs/api.md,
https://platform.openai.com/docs/api-reference/chat-streaming and
https://platform.claude.com/docs/en/build-with-claude/streaming
"""

import asyncio
import json
from typing import Any, cast

import uvloop

from benchmarks.commands import serve_commands
from benchmarks.stamped_text import Pace, StampedText

MODEL = "bench"
BURST_WORDS = 10
MAX_HEAD_BYTES = 64 * 1024
CREATED_AT = "2025-01-01T00:00:00.000000Z"

_FIXED: dict[str, Any] = {
    "/api/version": {"version": "0.12.0"},
    "/api/tags": {
        "models": [
            {
                "name": MODEL,
                "model": MODEL,
                "modified_at": CREATED_AT,
                "size": 1,
                "digest": "0" * 64,
                "details": {"family": "llama", "parameter_size": "1B", "quantization_level": "Q8_0"},
            }
        ]
    },
    "/api/show": {
        "modelfile": "",
        "template": "{{ .Prompt }}",
        "details": {"family": "llama"},
        "model_info": {"general.architecture": "llama", "llama.context_length": 131_072},
        "capabilities": ["completion"],
    },
    "/api/generate": {
        "model": MODEL,
        "created_at": CREATED_AT,
        "response": "",
        "done": True,
        "done_reason": "load",
    },
    "/v1/models": {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "bench"}]},
}


def _chunk(payload: str) -> bytes:
    return f"{len(payload):x}\r\n{payload}\r\n".encode()


def _ollama_piece(text: str) -> bytes:
    return _chunk(
        f'{{"model":"{MODEL}","created_at":"{CREATED_AT}",'
        f'"message":{{"role":"assistant","content":"{text}"}},"done":false}}\n'
    )


def _ollama_end(words: int) -> bytes:
    end = {
        "model": MODEL,
        "created_at": CREATED_AT,
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "stop",
        "total_duration": 1,
        "load_duration": 1,
        "prompt_eval_count": 1,
        "prompt_eval_duration": 1,
        "eval_count": words,
        "eval_duration": 1,
    }
    return _chunk(json.dumps(end) + "\n") + b"0\r\n\r\n"


_OPENAI_HEAD = f'"id":"chatcmpl-1","object":"chat.completion.chunk","created":1735689600,"model":"{MODEL}"'


def _openai_piece(text: str) -> bytes:
    return _chunk(
        f'data: {{{_OPENAI_HEAD},"choices":[{{"index":0,"delta":{{"role":"assistant","content":"{text}"}},'
        '"finish_reason":null}]}\n\n'
    )


def _openai_end(words: int) -> bytes:
    usage = f'{{"prompt_tokens":1,"completion_tokens":{words},"total_tokens":{words + 1}}}'
    last = f'{{{_OPENAI_HEAD},"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}],"usage":{usage}}}'
    return _chunk(f"data: {last}\n\n") + _chunk("data: [DONE]\n\n") + b"0\r\n\r\n"


def _event(kind: str, fields: str) -> bytes:
    return _chunk(f'event: {kind}\ndata: {{"type":"{kind}"{fields}}}\n\n')


_ANTHROPIC_MESSAGE = (
    f'{{"id":"msg_1","type":"message","role":"assistant","model":"{MODEL}","content":[],"stop_reason":null,'
    '"stop_sequence":null,"usage":{"input_tokens":1,"cache_creation_input_tokens":0,'
    '"cache_read_input_tokens":0,"output_tokens":1}}'
)


def _anthropic_begin() -> bytes:
    begun = _event("message_start", f',"message":{_ANTHROPIC_MESSAGE}')
    return begun + _event("content_block_start", ',"index":0,"content_block":{"type":"text","text":""}')


def _anthropic_piece(text: str) -> bytes:
    return _event("content_block_delta", f',"index":0,"delta":{{"type":"text_delta","text":"{text}"}}')


def _anthropic_end(words: int) -> bytes:
    delta = '{"stop_reason":"end_turn","stop_sequence":null}'
    end = _event("message_delta", f',"delta":{delta},"usage":{{"output_tokens":{words}}}')
    return _event("content_block_stop", ',"index":0') + end + _event("message_stop", "") + b"0\r\n\r\n"


_EVENTS = "text/event-stream; charset=utf-8"


def _nothing() -> bytes:
    return b""


_WIRES = {
    "/api/chat": ("application/x-ndjson", _nothing, _ollama_piece, _ollama_end),
    "/v1/chat/completions": (_EVENTS, _nothing, _openai_piece, _openai_end),
    "/v1/messages": (_EVENTS, _anthropic_begin, _anthropic_piece, _anthropic_end),
}


class Answer:
    """One answer being written."""

    def __init__(self, transport: asyncio.Transport, path: str, pace: Pace) -> None:
        kind, self._begin, self._piece, self._end = _WIRES[path]
        self._transport = transport
        self._pace = pace
        self._text = StampedText()
        self._loop = asyncio.get_running_loop()
        self._first_s = self._loop.time() + pace.ttft_ms / 1000
        self._next: asyncio.Handle | None = None
        self.is_over = False
        transport.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        self._schedule(0)

    def finish(self) -> None:
        """End the answer here."""
        self.stop()
        if not self.is_over:
            self.is_over = True
            self._transport.write(self._piece(self._text.ending()) + self._end(self._text.words))

    def stop(self) -> None:
        """Write no more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def go_on(self) -> None:
        """Write on after the reader was slow."""
        if not self.is_over and self._next is None:
            self._schedule(self._text.words)

    def _schedule(self, word: int) -> None:
        due_s = self._first_s + word * self._pace.gap_ms / 1000
        self._next = self._loop.call_at(due_s, self._write)

    def _write(self) -> None:
        self._next = None
        if not self._text.words and (begun := self._begin()):
            self._transport.write(begun)
        words = 1 if self._pace.gap_ms else BURST_WORDS
        if self._pace.words:
            words = min(words, self._pace.words - self._text.words)
        self._transport.write(b"".join([self._piece(self._text.next_piece()) for _ in range(words)]))
        if self._text.words == self._pace.words:
            self.finish()
        elif self._pace.gap_ms or not self._transport.get_write_buffer_size():
            self._schedule(self._text.words)


class Connection(asyncio.Protocol):
    """One client's connection: requests one after another."""

    def __init__(self, connections: "set[Connection]") -> None:
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self.answer: Answer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self.answer is not None:
            self.answer.stop()

    def resume_writing(self) -> None:
        if self.answer is not None:
            self.answer.go_on()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            if len(self._received) > MAX_HEAD_BYTES and self._transport is not None:
                self._transport.abort()
            return
        fields = [line.partition(b":") for line in head.lower().split(b"\r\n")[1:]]
        size = next((int(value) for name, _, value in fields if name == b"content-length"), 0)
        if len(rest) < size:
            return
        self._received = rest[size:]
        self._handle(head.split(b" ")[1].decode().partition("?")[0], rest[:size])

    def _handle(self, path: str, body: bytes) -> None:
        assert self._transport is not None
        pace = Pace.asked_in(body)
        if path in _WIRES and pace is not None:
            self.answer = Answer(self._transport, path, pace)
            return
        status, fixed = ("200 OK", _FIXED[path]) if path in _FIXED else ("404 Not Found", {"error": path})
        payload = json.dumps(fixed).encode()
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        )
        self._transport.write(head.encode() + payload)


async def listen(connections: set[Connection]) -> tuple[asyncio.Server, int]:
    """Serve on a free port of the loopback address; return the server and its port."""
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(connections), "127.0.0.1", 0, backlog=4096
    )
    return server, server.sockets[0].getsockname()[1]


async def serve() -> None:
    """Serve until stdin ends."""
    connections: set[Connection] = set()

    async def finish() -> dict[str, Any]:
        """End all answers that are being written."""
        running = [one.answer for one in connections if one.answer is not None and not one.answer.is_over]
        for answer in running:
            answer.finish()
        return {"finished": len(running)}

    server, port = await listen(connections)
    async with server:
        await serve_commands({"finish": finish}, greeting={"url": f"http://127.0.0.1:{port}"})


def main() -> None:
    uvloop.run(serve())


if __name__ == "__main__":
    main()
