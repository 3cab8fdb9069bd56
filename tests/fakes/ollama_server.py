"""A faithful fake of Ollama's HTTP API whose model names set its behaviour.

`llama3.2:1b` answers at once; `paced:ttft=200,gap=50,count=200` after 200 ms, a word every 50 ms, 200 words;
`cut` drops the connection in mid-answer, `unfinished` ends without a last part, `stall` stops sending,
`silent` never starts, `malformed` sends what is not JSON, `failing` ends in an error line, `error500` fails.
Words name their call and place, as in `c3w17`; a last message of the assistant is gone on from.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import socket
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from dataclasses import asdict, dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.fakes.ollama_answers import CREATED_AT, Behaviour, ConnectionCutError, answer_lines, behaviour_of

LISTED = ("paced:ttft=50,gap=20,count=100", "llama3.2:1b", "nomic-embed-text:latest")
CONTEXT_TOKENS = 131_072


@dataclass
class Stats:
    """What the fake has seen. An aborted stream: its call, the words sent, and Unix milliseconds."""

    calls: int = 0
    loads: int = 0
    open_streams: int = 0
    completed_streams: int = 0
    aborted_streams: list[dict[str, float]] = field(default_factory=list[dict[str, float]])


class OllamaFake:
    """The fake's state and its routes. `requests` holds the bodies of the latest calls."""

    def __init__(self) -> None:
        self.stats = Stats()
        self.requests: deque[dict[str, Any]] = deque(maxlen=256)
        self.models: tuple[str, ...] = LISTED
        self.url = ""
        self._changed = asyncio.Condition()

    def app(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route("/", self._alive),
                Route("/api/version", self._version),
                Route("/api/tags", self._tags),
                Route("/api/show", self._show, methods=["POST"]),
                Route("/api/chat", self._chat, methods=["POST"]),
                Route("/api/generate", self._generate, methods=["POST"]),
                Route("/fake/stats", self._stats),
                Route("/fake/requests", self._requests),
            ]
        )

    async def until(self, holds: Callable[[Stats], bool], *, within_s: float) -> None:
        """Return once the stats meet a condition; raises TimeoutError after `within_s`."""
        async with asyncio.timeout(within_s), self._changed:
            await self._changed.wait_for(lambda: holds(self.stats))

    async def _alive(self, _: Request) -> Response:
        return Response("Ollama is running", media_type="text/plain")

    async def _version(self, _: Request) -> Response:
        return JSONResponse({"version": "0.12.0"})

    async def _stats(self, _: Request) -> Response:
        return JSONResponse(asdict(self.stats))

    async def _requests(self, _: Request) -> Response:
        return JSONResponse(list(self.requests))

    async def _tags(self, _: Request) -> Response:
        details = {
            "format": "gguf",
            "family": "llama",
            "parameter_size": "1.2B",
            "quantization_level": "Q8_0",
        }
        models = [
            {
                "name": name,
                "model": name,
                "modified_at": CREATED_AT,
                "size": 1_321_098_329,
                "digest": hashlib.sha256(name.encode()).hexdigest(),
                "details": details,
            }
            for name in self.models
        ]
        return JSONResponse({"models": models})

    async def _show(self, request: Request) -> Response:
        model = str((await request.json()).get("model", ""))
        is_embedder = model in self.models and model.startswith("nomic")
        if behaviour_of(model) is None and not is_embedder:
            return _not_found(model)
        family = "nomic-bert" if is_embedder else "llama"
        return JSONResponse(
            {
                "modelfile": "",
                "template": "{{ .Prompt }}",
                "details": {"family": family},
                "model_info": {
                    "general.architecture": family,
                    f"{family}.context_length": 2048 if is_embedder else CONTEXT_TOKENS,
                },
                "capabilities": ["embedding"] if is_embedder else ["completion", "tools"],
                "modified_at": CREATED_AT,
            }
        )

    async def _chat(self, request: Request) -> Response:
        body: dict[str, Any] = await request.json()
        messages: list[dict[str, str]] = body.get("messages") or []
        last = messages[-1] if messages else {"role": "user", "content": ""}
        prefix = last["content"] if last["role"] == "assistant" else ""

        def message(text: str) -> dict[str, Any]:
            return {"message": {"role": "assistant", "content": text}}

        return await self._answer(body, prefix, message, is_load=not messages)

    async def _generate(self, request: Request) -> Response:
        body: dict[str, Any] = await request.json()

        def response(text: str) -> dict[str, Any]:
            return {"response": text}

        return await self._answer(body, "", response, is_load=not body.get("prompt"))

    async def _answer(
        self, body: dict[str, Any], prefix: str, shape: Callable[[str], dict[str, Any]], *, is_load: bool
    ) -> Response:
        self.requests.append(body)
        model = str(body.get("model", ""))
        behaviour = behaviour_of(model)
        if behaviour is None:
            return _not_found(model)
        if behaviour.fault == "error500":
            return JSONResponse({"error": "llama runner process has terminated"}, status_code=500)
        if is_load:
            self.stats.loads += 1
            await self._tell()
            end = {"model": model, "created_at": CREATED_AT, **shape(""), "done": True, "done_reason": "load"}
            return JSONResponse(end)
        self.stats.calls += 1
        stream = self._counted(body, behaviour, prefix, shape, self.stats.calls)
        if body.get("stream", True):
            return StreamingResponse(stream, media_type="application/x-ndjson")
        return JSONResponse(_whole([json.loads(line) async for line in stream]))

    async def _counted(
        self,
        body: dict[str, Any],
        behaviour: Behaviour,
        prefix: str,
        shape: Callable[[str], dict[str, Any]],
        call: int,
    ) -> AsyncIterator[str]:
        """Yield the lines of one answer, and record how its stream ended."""
        self.stats.open_streams += 1
        await self._tell()
        sent = 0
        is_over = False
        try:
            async for line in answer_lines(body, behaviour, prefix, shape, call):
                yield line
                sent += 1
            is_over = True
        except ConnectionCutError:
            is_over = True
            raise
        finally:
            self.stats.open_streams -= 1
            if is_over:
                self.stats.completed_streams += 1
            else:
                at_ms = time.time() * 1000
                self.stats.aborted_streams.append({"call": call, "words": sent, "at_ms": at_ms})
            with contextlib.suppress(asyncio.CancelledError):
                await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _whole(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a streamed answer as the one object of a request that does not stream."""
    whole = dict(parts[-1])
    if "message" in whole:
        whole["message"] = {
            "role": "assistant",
            "content": "".join(part["message"]["content"] for part in parts),
        }
    else:
        whole["response"] = "".join(part["response"] for part in parts)
    return whole


def _not_found(model: str) -> Response:
    return JSONResponse({"error": f"model '{model}' not found"}, status_code=404)


class _QuietServer(uvicorn.Server):
    """A server inside another program's loop: it leaves that program's signal handlers alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _config(fake: OllamaFake) -> uvicorn.Config:
    return uvicorn.Config(
        fake.app(), ws="none", lifespan="off", log_level="critical", timeout_graceful_shutdown=1
    )


@contextlib.asynccontextmanager
async def open_ollama_fake() -> AsyncGenerator[OllamaFake]:
    """Serve the fake on a free port of the loopback address; `url` says which."""
    fake = OllamaFake()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fake.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = _QuietServer(_config(fake))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[listener]))
            try:
                yield fake
            finally:
                server.should_exit = True


def main() -> None:
    """Serve on a given port until a signal comes."""
    parser = argparse.ArgumentParser(description="A fake Ollama server.")
    parser.add_argument("--port", type=int, default=11434)
    port = int(parser.parse_args().port)
    with socket.create_server(("127.0.0.1", port)) as listener:
        uvicorn.Server(_config(OllamaFake())).run(sockets=[listener])


if __name__ == "__main__":
    main()
