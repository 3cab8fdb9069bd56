"""What the fake Ollama server keeps: models fetched from a library of its own, deleted, and loaded.

The library's models come in parts, a step of `STEP_BYTES` after another. Some names have faults: `full` ends
in a full disk, `offline` reaches no library, `newer` asks for a newer server, `damaged` has a part that is
not what it should be, `broken` drops the connection, `held` waits after its first step until it is let on.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.fakes.scripted_answers import ConnectionCutError

STEP_BYTES = 500_000
PARTS = (1_300_000, 7_700)
SIGNED = "https://r2.example/blob?X-Amz-Signature=c0ffee"
FAULTS = {
    "full:latest": "write blobs/sha256-12-partial: no space left on device",
    "offline:latest": f'max retries exceeded: Get "{SIGNED}": dial tcp: lookup r2.example: no such host',
    "newer:latest": "pull model manifest: 412: \n\nThe model requires a newer version of Ollama.",
    "damaged:latest": "digest mismatch, file must be downloaded again: want sha256:12, got sha256:34",
}
_KNOWN = ("llama3.2:1b", "qwen3:0.6b", "held:latest", "broken:latest", "hf.co/someone/tiny:Q4_K_M", *FAULTS)


def _line(**told: Any) -> str:
    return json.dumps(told) + "\n"


class FakeLibrary:
    """The part of the fake that keeps models.

    `pulls` counts streams by name, `left` names those whose reader left, and `letting_on` lets `held` go on.
    """

    def __init__(self) -> None:
        self.models: tuple[str, ...] = ()
        self.library: tuple[str, ...] = _KNOWN
        self.loaded: dict[str, Any] = {}
        self.pulls = Counter[str]()
        self.left: list[str] = []
        self.letting_on = asyncio.Event()
        self._fetched = Counter[str]()

    def library_routes(self) -> list[Route]:
        """Return the routes by which models come and go."""
        return [
            Route("/api/pull", self._pull, methods=["POST"]),
            Route("/api/delete", self._delete, methods=["DELETE"]),
            Route("/api/ps", self._ps),
        ]

    def note_loaded(self, body: dict[str, Any]) -> None:
        """Take a model into memory, or out of it when it is to be kept there for no time."""
        if body.get("keep_alive") in (0, "0"):
            self.loaded.pop(str(body["model"]), None)
        else:
            self.loaded[str(body["model"])] = body.get("keep_alive", "5m")

    async def _pull(self, request: Request) -> Response:
        body: dict[str, Any] = await request.json()
        name = str(body.get("model", ""))
        self.pulls[name] += 1
        if not body.get("stream", True):
            return JSONResponse({"error": "this fake streams"}, status_code=400)
        return StreamingResponse(self._watched(name), media_type="application/x-ndjson")

    async def _watched(self, name: str) -> AsyncIterator[str]:
        is_over = False
        try:
            async for line in self._steps(name):
                yield line
            is_over = True
        except ConnectionCutError:
            is_over = True
            raise
        finally:
            if not is_over:
                self.left.append(name)

    async def _steps(self, name: str) -> AsyncIterator[str]:
        yield _line(status="pulling manifest")
        if name not in self.library:
            yield _line(error="pull model manifest: file does not exist")
            return
        for number, total in enumerate(PARTS):
            digest = hashlib.sha256(f"{name} {number}".encode()).hexdigest()
            head = {"status": f"pulling {digest[:12]}", "digest": f"sha256:{digest}", "total": total}
            # A part that has nothing yet is told without what has come of it.
            yield _line(**head)
            while self._fetched[digest] < total:
                self._fetched[digest] = min(total, self._fetched[digest] + STEP_BYTES)
                yield _line(**head, completed=self._fetched[digest])
                await asyncio.sleep(0)
                if name.startswith("held"):
                    await self.letting_on.wait()
            if name in FAULTS:
                yield _line(error=FAULTS[name])
                return
            if name.startswith("broken"):
                raise ConnectionCutError
        yield _line(status="verifying sha256 digest")
        yield _line(status="writing manifest")
        self.models = tuple(dict.fromkeys((*self.models, name)))
        yield _line(status="success")

    async def _delete(self, request: Request) -> Response:
        name = str((await request.json()).get("model", ""))
        if name not in self.models:
            return JSONResponse({"error": f"model '{name}' not found"}, status_code=404)
        self.models = tuple(model for model in self.models if model != name)
        self.loaded.pop(name, None)
        return Response(status_code=200)

    async def _ps(self, _: Request) -> Response:
        models = [
            {
                "name": name,
                "model": name,
                "size": 1_600_000_000,
                "digest": hashlib.sha256(name.encode()).hexdigest(),
                "details": {"format": "gguf", "family": "llama"},
                "expires_at": "2025-01-01T00:30:00.000000Z",
                "size_vram": 0,
            }
            for name in self.loaded
        ]
        return JSONResponse({"models": models})
