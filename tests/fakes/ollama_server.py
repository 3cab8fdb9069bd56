"""A faithful fake of Ollama's HTTP API whose model names set its behaviour.

`llama3.2:1b` answers at once; `paced:ttft=200,gap=50,count=200` after 200 ms, a word every 50 ms, 200 words;
`cut` drops the connection in mid-answer, `cut_early` before the first word, `unfinished` ends without a last
part, `stall` stops sending, `silent` never starts, `malformed` sends what is not JSON, `failing` ends in an
error line, `error500` and its like refuse, `form:unterminated` and its like write the stream in other ways.
Words name their call and place, as in `c3w17`; a last message of the assistant is gone on from. With
`signed=1` the words of a continued answer name the call that wrote them, else the one that began the answer.

`/api/pull`, `/api/delete` and `/api/ps` are those of `ollama_library`.

`/api/embed` knows `all-minilm` when `embed` is set, which returns a vector for each text; a text of more than
256 words is refused, as by a server that does not cut.
"""

import contextlib
import hashlib
import json
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.fakes.fake_listener import listening, serve_by_command
from tests.fakes.ollama_answers import CREATED_AT, REFUSALS, RETRY_AFTER_S, answer_lines
from tests.fakes.ollama_library import FakeLibrary
from tests.fakes.ollama_plans import ollama_plan, planned_lines
from tests.fakes.planned_answers import PLANS, Plan
from tests.fakes.scripted_answers import behaviour_of
from tests.fakes.shown_images import EYES, WrongImageError, ollama_images
from tests.fakes.stream_stats import StreamStats, each

LISTED = ("paced:ttft=50,gap=20,count=100", "llama3.2:1b", "nomic-embed-text:latest")
CONTEXT_TOKENS = 131_072
_USUAL = ["completion", "tools"]
_CAPABILITIES = {
    "plan:thinker": ["completion", "tools", "thinking"],
    EYES: ["completion", "vision"],
}
EMBEDDER = "all-minilm"
EMBEDDER_WORDS = 256


@dataclass(frozen=True)
class Call:
    """One generation: its number, the question, the prefix to go on from, and Unix seconds."""

    number: int
    question: str
    prefix: str
    at_s: float


class OllamaFake(StreamStats, FakeLibrary):
    """The fake's state and its routes. `requests` holds the bodies of the latest calls.

    `refusing` holds the refusals that the next calls get, and `planted` ends the words of each.
    """

    def __init__(self) -> None:
        StreamStats.__init__(self)
        FakeLibrary.__init__(self)
        self.requests: deque[dict[str, Any]] = deque(maxlen=256)
        self.callers: set[tuple[str, int]] = set()
        self.calls: deque[Call] = deque(maxlen=10_000)
        self.models = LISTED
        self.refusing: deque[str] = deque()
        self.planted = ""
        self.embed: Callable[[Sequence[str]], list[list[float]]] | None = None
        self.embed_fault: tuple[int, str] | None = None
        self.url = ""

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
                Route("/api/embed", self._embed, methods=["POST"]),
                *self.library_routes(),
                Route("/fake/stats", self._stats),
                Route("/fake/requests", self._requests),
            ]
        )

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
        is_known = behaviour_of(model) is not None or model in REFUSALS or model in PLANS
        if not is_known and not is_embedder:
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
                "capabilities": ["embedding"] if is_embedder else _CAPABILITIES.get(model, _USUAL),
                "modified_at": CREATED_AT,
            }
        )

    async def _chat(self, request: Request) -> Response:
        body: dict[str, Any] = await request.json()
        if request.client is not None:
            self.callers.add(request.client)
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

    async def _embed(self, request: Request) -> Response:
        """Answer as Ollama does: one vector an input, the times in nanoseconds."""
        body: dict[str, Any] = await request.json()
        self.requests.append(body)
        model, given = str(body.get("model", "")), body.get("input")
        if self.embed_fault is not None:
            status, message = self.embed_fault
            return JSONResponse({"error": message}, status_code=status)
        if model.removesuffix(":latest") != EMBEDDER or self.embed is None:
            return _not_found(model, hint=", try pulling it first")
        texts: list[Any] = [given] if isinstance(given, str) else list(given or [])
        if not all(isinstance(text, str) for text in texts):
            return JSONResponse({"error": "invalid input type"}, status_code=400)
        if any(len(text.split()) > EMBEDDER_WORDS for text in texts):
            return JSONResponse({"error": "the input length exceeds the context length"}, status_code=400)
        return JSONResponse(
            {
                "model": model,
                "embeddings": self.embed(texts),
                "total_duration": 14_143_917,
                "load_duration": 1_019_500,
                "prompt_eval_count": sum(len(text.split()) for text in texts),
            }
        )

    async def _answer(
        self, body: dict[str, Any], prefix: str, shape: Callable[[str], dict[str, Any]], *, is_load: bool
    ) -> Response:
        self.requests.append(body)
        model = str(body.get("model", ""))
        refusal = self.refusing.popleft() if self.refusing else model
        if refusal in REFUSALS:
            status, message = REFUSALS[refusal]
            headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 429 else None
            words = f"{message} {self.planted}".strip()
            return JSONResponse({"error": words}, status_code=status, headers=headers)
        behaviour = behaviour_of(model)
        if (refused := _image_refusal(body)) is not None:
            return refused
        plan = ollama_plan(body)
        if behaviour is None and plan is None:
            return _not_found(model)
        self.note_loaded(body)
        if is_load:
            self.stats.loads += 1
            await self.tell()
            end = {"model": model, "created_at": CREATED_AT, **shape(""), "done": True, "done_reason": "load"}
            return JSONResponse(end)
        self.stats.calls += 1
        self.calls.append(Call(self.stats.calls, _question(body), prefix, time.time()))
        call = self.stats.calls
        if behaviour is None:
            lines = each(planned_lines(body, plan or Plan()))
        else:
            lines = answer_lines(body, behaviour, prefix, shape, call)
        stream = self.counted(call, lines)
        if body.get("stream", True):
            return StreamingResponse(stream, media_type="application/x-ndjson")
        return JSONResponse(_whole([json.loads(line) async for line in stream]))


def _image_refusal(body: dict[str, Any]) -> Response | None:
    """Return how images are refused that are not in the API's form, or that the model cannot be shown."""
    try:
        shown = [data for message in body.get("messages") or () for data in ollama_images(message)]
    except WrongImageError as error:
        return JSONResponse({"error": str(error)}, status_code=400)
    if shown and body.get("model") != EYES:
        error = "this model is missing data required for image input"
        return JSONResponse({"error": error}, status_code=500)
    return None


def _question(body: dict[str, Any]) -> str:
    """Return what the user has said last."""
    messages: list[dict[str, str]] = body.get("messages") or []
    said = [message["content"] for message in messages if message["role"] == "user"]
    return said[-1] if said else ""


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


def _not_found(model: str, hint: str = "") -> Response:
    return JSONResponse({"error": f"model '{model}' not found{hint}"}, status_code=404)


@contextlib.asynccontextmanager
async def open_ollama_fake() -> AsyncGenerator[OllamaFake]:
    """Serve the fake on a free port of the loopback address; `url` says which."""
    fake = OllamaFake()
    async with listening(fake.app()) as fake.url:
        yield fake


def main() -> None:
    """Serve on a given port until a signal comes."""
    serve_by_command(OllamaFake().app(), description="A fake Ollama server.", default_port=11_434)


if __name__ == "__main__":
    main()
