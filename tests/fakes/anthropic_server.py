"""A faithful fake of Anthropic's Messages API whose model names set its behaviour.

Names are those of the Ollama fake; besides, `form:thinking` thinks before it answers, `form:tools` calls a
tool, `form:two-tools` two, `form:filtered` is stopped by the provider's filter and `form:context-full` by the
end of its window. Requests are held to the published rules (`anthropic_requests.py`), and what stands before
a `cache_control` is counted as read the next time.

Sources: https://platform.claude.com/docs/en/api/messages and
https://platform.claude.com/docs/en/api/models-list
"""

import contextlib
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.fakes.anthropic_answers import REFUSALS, RETRY_AFTER_S, ScriptedMessage, error_body
from tests.fakes.anthropic_requests import KeptPrefixes, fault_of
from tests.fakes.fake_listener import listening, serve_by_command
from tests.fakes.scripted_answers import QUICK_MODEL, behaviour_of
from tests.fakes.stream_stats import StreamStats

LISTED = ("paced:ttft=50,gap=20,count=100", QUICK_MODEL)
CONTEXT_TOKENS = 200_000
ANSWER_TOKENS = 64_000
VERSIONS = ("2023-06-01", "2026-10-21")
CREATED_AT = "2025-01-01T00:00:00Z"
PAGE = 20


class AnthropicFake(StreamStats):
    """The fake's state and its routes. `requests` holds the bodies of the latest calls.

    `api_key` is what callers must bring, if set; `tells_capabilities` is whether models say what they can;
    `refusing` holds the refusals that the next calls get, and `planted` ends the words of each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests: deque[dict[str, Any]] = deque(maxlen=256)
        self.callers: set[tuple[str, int]] = set()
        self.models: tuple[str, ...] = LISTED
        self.api_key: str | None = None
        self.refusing: deque[str] = deque()
        self.planted = ""
        self.takes_prefill = False
        self.tells_capabilities = True
        self.kept = KeptPrefixes()
        self.url = ""

    def app(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route("/v1/models", self._models),
                Route("/v1/messages", self._messages, methods=["POST"]),
                Route("/fake/stats", self._stats),
                Route("/fake/requests", self._requests),
            ]
        )

    async def _stats(self, _: Request) -> Response:
        return JSONResponse(asdict(self.stats))

    async def _requests(self, _: Request) -> Response:
        return JSONResponse(list(self.requests))

    async def _models(self, request: Request) -> Response:
        if (refused := self._refused_entry(request)) is not None:
            return refused
        limit = int(request.query_params.get("limit", PAGE))
        after = request.query_params.get("after_id")
        begin = self.models.index(after) + 1 if after in self.models else 0
        page = self.models[begin : begin + limit]
        return JSONResponse(
            {
                "data": [self._model(name) for name in page],
                "has_more": begin + limit < len(self.models),
                "first_id": page[0] if page else None,
                "last_id": page[-1] if page else None,
            }
        )

    def _model(self, name: str) -> dict[str, Any]:
        model: dict[str, Any] = {
            "type": "model",
            "id": name,
            "display_name": name.title(),
            "created_at": CREATED_AT,
            "lifecycle": "active",
        }
        if self.tells_capabilities:
            model |= {
                "max_input_tokens": CONTEXT_TOKENS,
                "max_tokens": ANSWER_TOKENS,
                "capabilities": _capabilities(),
            }
        return model

    async def _messages(self, request: Request) -> Response:
        if (refused := self._refused_entry(request)) is not None:
            return refused
        body: dict[str, Any] = await request.json()
        self.requests.append(body)
        if request.client is not None:
            self.callers.add(request.client)
        model = str(body.get("model", ""))
        refusal = self.refusing.popleft() if self.refusing else model
        if refusal in REFUSALS:
            status, kind, message = REFUSALS[refusal]
            return _refusal(status, kind, f"{message} {self.planted}".strip())
        behaviour = behaviour_of(model)
        if behaviour is None:
            return _refusal(404, "not_found_error", f"model: {model}")
        version = request.headers["anthropic-version"]
        if (fault := fault_of(body, version, takes_prefill=self.takes_prefill)) is not None:
            return _refusal(400, "invalid_request_error", fault)
        self.stats.calls += 1
        message = ScriptedMessage(body, behaviour, self.stats.calls, self.kept.count(body))
        pieces = self.counted(self.stats.calls, message.events())
        if body.get("stream"):
            return StreamingResponse(pieces, media_type="text/event-stream")
        return JSONResponse(await message.whole(pieces))

    def _refused_entry(self, request: Request) -> Response | None:
        """Return what a caller without the key or the version's header is told."""
        headers = request.headers
        brought = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if self.api_key is not None and brought != self.api_key:
            return _refusal(401, "authentication_error", "invalid x-api-key")
        if headers.get("anthropic-version") not in VERSIONS:
            return _refusal(400, "invalid_request_error", "anthropic-version: header is required")
        return None


def _capabilities() -> dict[str, Any]:
    yes, no = {"supported": True}, {"supported": False}
    return {
        "batch": yes,
        "citations": yes,
        "code_execution": yes,
        "context_management": {"supported": True},
        "effort": {"supported": True, "low": yes, "medium": yes, "high": yes, "max": no, "xhigh": None},
        "image_input": yes,
        "pdf_input": yes,
        "server_tools": {"supported": False},
        "structured_outputs": yes,
        "thinking": {
            "supported": True,
            "types": {"adaptive": yes, "enabled": no, "disabled": yes, "between_tools": no},
        },
    }


def _refusal(status: int, kind: str, message: str) -> Response:
    headers = {"request-id": "req_0"}
    if status == 429:
        headers["retry-after"] = str(RETRY_AFTER_S)
    return JSONResponse(error_body(kind, message), status_code=status, headers=headers)


@contextlib.asynccontextmanager
async def open_anthropic_fake() -> AsyncGenerator[AnthropicFake]:
    """Serve the fake on a free port of the loopback address; `url` says which."""
    fake = AnthropicFake()
    async with listening(fake.app()) as fake.url:
        yield fake


def main() -> None:
    """Serve on a given port until a signal comes."""
    serve_by_command(AnthropicFake().app(), description="A fake Messages API.", default_port=8002)


if __name__ == "__main__":
    main()
