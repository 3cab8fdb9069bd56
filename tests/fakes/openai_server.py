"""A faithful fake of an OpenAI-compatible server, such as vLLM, whose model names set its behaviour.

Names are those of the Ollama fake: `llama3.2:1b` answers at once; `paced:ttft=200,gap=50,count=200` after
200 ms, a word every 50 ms, 200 words; `cut`, `cut_early`, `unfinished`, `stall`, `silent`, `malformed`,
`failing`, `error401`, `error429` and other refusals, the `plan:...` of `planned_answers`, and `form:crlf` and
its like, which write the stream in the ways of other servers.
A last message of the assistant is gone on from only with vLLM's `continue_final_message` and without
`add_generation_prompt`; else the answer begins anew.
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

from tests.fakes.fake_listener import listening, serve_by_command
from tests.fakes.openai_answers import CREATED_AT_S, REFUSALS, RETRY_AFTER_S, ScriptedCompletion, error_body
from tests.fakes.openai_plans import PlannedCompletion, openai_plan
from tests.fakes.scripted_answers import QUICK_MODEL, Behaviour, behaviour_of
from tests.fakes.shown_images import EYES, WrongImageError, openai_images
from tests.fakes.stream_stats import StreamStats, each

LISTED = ("paced:ttft=50,gap=20,count=100", QUICK_MODEL, "text-embedding-3-small")
CONTEXT_TOKENS = 131_072


class OpenAiFake(StreamStats):
    """The fake's state and its routes. `requests` holds the bodies of the latest calls.

    `api_key` is what callers must bring, if set; `owned_by` is what the server calls itself in its list;
    `refusing` holds the refusals that the next calls get, and `planted` ends the words of each; `plan_gap_s`
    is the pace of planned answers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests: deque[dict[str, Any]] = deque(maxlen=256)
        self.callers: set[tuple[str, int]] = set()
        self.models: tuple[str, ...] = LISTED
        self.api_key: str | None = None
        self.refusing: deque[str] = deque()
        self.planted = ""
        self.owned_by = "vllm"
        self.plan_gap_s = 0.0
        self.url = ""

    @property
    def base_url(self) -> str:
        """What clients call the base URL: the address of the API's first version."""
        return f"{self.url}/v1"

    def app(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route("/v1/models", self._models),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/fake/stats", self._stats),
                Route("/fake/requests", self._requests),
            ]
        )

    async def _stats(self, _: Request) -> Response:
        return JSONResponse(asdict(self.stats))

    async def _requests(self, _: Request) -> Response:
        return JSONResponse(list(self.requests))

    async def _models(self, request: Request) -> Response:
        if not self._may_enter(request):
            return _refusal("error401")
        models = [
            {
                "id": name,
                "object": "model",
                "created": CREATED_AT_S,
                "owned_by": self.owned_by,
                "root": name,
                "parent": None,
                "max_model_len": CONTEXT_TOKENS,
                # As llama.cpp says it; vLLM and OpenAI say nothing.
                **({"capabilities": ["completion", "multimodal"]} if name == EYES else {}),
            }
            for name in self.models
        ]
        return JSONResponse({"object": "list", "data": models})

    async def _chat(self, request: Request) -> Response:
        if not self._may_enter(request):
            return _refusal("error401")
        body: dict[str, Any] = await request.json()
        self.requests.append(body)
        if request.client is not None:
            self.callers.add(request.client)
        model = str(body.get("model", ""))
        refusal = self.refusing.popleft() if self.refusing else model
        if refusal in REFUSALS:
            return _refusal(refusal, self.planted)
        if (fault := _image_fault(body)) is not None:
            return JSONResponse(error_body(400, fault, "invalid_image"), status_code=400)
        if (plan := openai_plan(body)) is not None:
            return self._planned(PlannedCompletion(body, plan, self.stats.calls + 1))
        behaviour = behaviour_of(model)
        if behaviour is None:
            message = f"The model `{model}` does not exist."
            return JSONResponse(error_body(404, message, "model_not_found"), status_code=404)
        return await self._answer(body, behaviour)

    async def _answer(self, body: dict[str, Any], behaviour: Behaviour) -> Response:
        if body.get("continue_final_message") and body.get("add_generation_prompt", True):
            message = "Cannot set both `continue_final_message` and `add_generation_prompt` to True."
            return JSONResponse(error_body(400, message), status_code=400)
        self.stats.calls += 1
        completion = ScriptedCompletion(body, behaviour, self.stats.calls)
        pieces = self.counted(self.stats.calls, completion.events())
        if body.get("stream"):
            return StreamingResponse(pieces, media_type="text/event-stream")
        return JSONResponse(await completion.whole(pieces))

    def _planned(self, completion: PlannedCompletion) -> Response:
        self.stats.calls += 1
        events = self.counted(self.stats.calls, each(completion.events(), self.plan_gap_s))
        return StreamingResponse(events, media_type="text/event-stream")

    def _may_enter(self, request: Request) -> bool:
        return self.api_key is None or request.headers.get("authorization") == f"Bearer {self.api_key}"


def _image_fault(body: dict[str, Any]) -> str | None:
    """Return what is wrong with the images of a request."""
    try:
        shown = [data for message in body.get("messages") or () for data in openai_images(message)]
    except WrongImageError as error:
        return str(error)
    model = body.get("model")
    return f"{model} is not a multimodal model" if shown and model != EYES else None


def _refusal(name: str, planted: str = "") -> Response:
    status, message, code = REFUSALS[name]
    message = f"{message} {planted}".strip()
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 429 else None
    return JSONResponse(error_body(status, message, code), status_code=status, headers=headers)


@contextlib.asynccontextmanager
async def open_openai_fake() -> AsyncGenerator[OpenAiFake]:
    """Serve the fake on a free port of the loopback address; `url` and `base_url` say which."""
    fake = OpenAiFake()
    async with listening(fake.app()) as fake.url:
        yield fake


def main() -> None:
    """Serve on a given port until a signal comes."""
    serve_by_command(OpenAiFake().app(), description="A fake OpenAI-compatible server.", default_port=8001)


if __name__ == "__main__":
    main()
