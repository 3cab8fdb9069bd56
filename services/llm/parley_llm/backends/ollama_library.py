"""The models that an Ollama server keeps: fetched from a library, deleted, and which are loaded now.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md
"""

import json
import re
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from parley_contracts.errors import ErrorCode, ParleyError
from parley_messaging.circuit import Circuits

from parley_llm.backends.byte_records import RecordReader
from parley_llm.backends.model_server import ModelServer
from parley_llm.backends.ollama import OllamaOptions
from parley_llm.backends.server_errors import FAILED, Refusal, readable, refusal_of
from parley_llm.backends.wire_format import ChatRequest

if TYPE_CHECKING:
    from parley_llm.backends.answer_stream import AnswerStream

PREFIX = "ollama/"
CALL_S = 5.0
DELETE_S = 30.0
PULL_SILENCE_S = 900.0
"""The digest of a large model is computed in silence."""

PULL_S = 86_400.0
"""A large model over a slow line takes hours, which no answer may."""

Stage = Literal["waiting", "manifest", "layers", "verifying", "writing"]

_PARTS = 3
_NAME = re.compile(
    r"(?:[A-Za-z0-9][A-Za-z0-9._-]*(?::\d{1,5})?/)?(?:[A-Za-z0-9][A-Za-z0-9._-]*/)?"
    r"[A-Za-z0-9][A-Za-z0-9._-]*(?::[A-Za-z0-9][A-Za-z0-9._-]*)?"
)
_STAGES: tuple[tuple[str, Stage], ...] = (
    ("pulling manifest", "manifest"),
    ("pulling", "layers"),
    ("verifying", "verifying"),
    ("writing", "writing"),
    ("removing", "writing"),
    ("success", "writing"),
)
_NO_SUCH = Refusal(ErrorCode.MODEL_NOT_FOUND, "The library has no model {model}.", is_retryable=False)
_REASONS: tuple[tuple[str, Refusal], ...] = (
    ("file does not exist", _NO_SUCH),
    ("not found", _NO_SUCH),
    (
        "newer version",
        Refusal(ErrorCode.UPSTREAM_FAILED, "{model} needs a newer Ollama.", is_retryable=False),
    ),
    (
        "no space left",
        Refusal(ErrorCode.UPSTREAM_FAILED, "The disk of the Ollama server is full.", is_retryable=False),
    ),
    (
        "digest mismatch",
        Refusal(ErrorCode.UPSTREAM_FAILED, "What came of {model} was damaged: ask again.", is_retryable=True),
    ),
    (
        "unauthorized",
        Refusal(ErrorCode.UPSTREAM_FAILED, "The library does not give {model} away.", is_retryable=False),
    ),
    *(
        (words, Refusal(ErrorCode.UPSTREAM_FAILED, "The Ollama server cannot reach the library.", True))
        for words in ("dial tcp", "no such host", "max retries", "timeout", "connection re", "eof")
    ),
)
"""What Ollama's words mean. They are told to nobody: they hold addresses that are signed for a while."""


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far it has come; the sizes are those of the parts that are known so far."""

    stage: Stage
    total_bytes: int = 0
    done_bytes: int = 0


class OllamaLibrary:
    """What a server keeps. Open it by `open_library`. Raises ParleyError whose messages operators may read.

    A name with a host has that host asked for the model, so only hosts that are set may be named.
    """

    def __init__(self, options: OllamaOptions, registries: Collection[str], circuits: Circuits) -> None:
        patient = replace(options, first_token_s=PULL_SILENCE_S, gap_s=PULL_SILENCE_S, whole_s=PULL_S)
        self._registries = frozenset(registries)
        self._server = ModelServer(patient, _refusal, circuits.to("ollama-connect"))

    def name_of(self, model: str) -> str:
        """Return how the server names a model; ParleyError when it is none that may be asked for."""
        name = model.removeprefix(PREFIX)
        if name == model or not _NAME.fullmatch(name):
            raise ParleyError(
                ErrorCode.INVALID_REQUEST,
                "Only models of Ollama are fetched and deleted, such as ollama/llama3.2:1b.",
                field="model",
            )
        parts = name.split("/")
        if len(parts) == _PARTS and parts[0] not in self._registries:
            raise ParleyError(
                ErrorCode.INVALID_REQUEST,
                f"Models of {parts[0]} may not be fetched: PARLEY_LLM_OLLAMA_REGISTRIES does not name it.",
                field="model",
            )
        return name

    async def pull(self, name: str) -> AsyncGenerator[PullProgress, None]:
        """Have a model fetched, and yield each step; leaving early ends it, and keeps what has come."""
        request = ChatRequest("api/pull", {"model": name, "stream": True})
        with readable(name):
            client = await self._server.client()
            async with client.answering(request, name) as stream:
                steps = _Steps(name)
                while not steps.is_over:
                    received = await stream.read()
                    for step in steps.feed(received):
                        _note_heard(stream)
                        yield step

    async def delete(self, name: str) -> None:
        """Delete a model; ParleyError model_not_found when it is not there."""
        with readable(name):
            client = await self._server.client()
            try:
                await client.call("DELETE", "api/delete", {"model": name}, model=name, timeout_s=DELETE_S)
            except ParleyError as error:
                if error.code is not ErrorCode.MODEL_NOT_FOUND:
                    raise
                message = f"The Ollama server has no model {name}."
                raise ParleyError(ErrorCode.MODEL_NOT_FOUND, message, field="model") from error

    async def loaded(self) -> frozenset[str]:
        """Return the names of the models that are in the server's memory now."""
        with readable("list"):
            client = await self._server.client()
            told = await client.call("GET", "api/ps", timeout_s=CALL_S)
            return frozenset(str(entry["model"]) for entry in told["models"] or ())

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._server.close()


@asynccontextmanager
async def open_library(
    options: OllamaOptions, registries: Collection[str] = (), circuits: Circuits | None = None
) -> AsyncGenerator[OllamaLibrary]:
    """Open what a server keeps; the server may be away."""
    library = OllamaLibrary(options, registries, circuits or Circuits())
    try:
        yield library
    finally:
        await library.close()


def _note_heard(stream: "AnswerStream") -> None:
    """Have silence count from now."""
    for _ in stream.heard((None,)):
        pass


class _Steps:
    """Reads what a pull says. Raises ParleyError for a failure, and when it breaks off before its end."""

    def __init__(self, name: str) -> None:
        self.is_over = False
        self._name = name
        self._lines = RecordReader(b"\n")
        self._parts: dict[str, tuple[int, int]] = {}

    def feed(self, received: bytes) -> Iterator[PullProgress]:
        """Yield the steps that are whole now; nothing received is the end."""
        for line in self._lines.feed(received) if received else (self._lines.close(),):
            if not line.strip():
                continue
            told: Mapping[str, Any] = json.loads(line)
            if (fault := told.get("error")) is not None:
                raise _reason(str(fault)).error(self._name)
            self.is_over = self.is_over or told["status"] == "success"
            yield self._progress(told)
        if not received and not self.is_over:
            raise ParleyError(ErrorCode.UPSTREAM_FAILED, "The Ollama server broke off before the end.")

    def _progress(self, told: Mapping[str, Any]) -> PullProgress:
        digest, total = told.get("digest"), told.get("total")
        if isinstance(digest, str) and isinstance(total, int) and total >= 0:
            done = told.get("completed")
            # A part that was there before is told without what has come of it, and then is whole at the end.
            before = self._parts.get(digest, (0, 0))[1]
            self._parts[digest] = (total, min(total, done) if isinstance(done, int) and done >= 0 else before)
        stage: Stage = "waiting"
        for words, meant in reversed(_STAGES):
            stage = meant if str(told["status"]).startswith(words) else stage
        total_bytes = sum(total for total, _ in self._parts.values())
        done_bytes = sum(done for _, done in self._parts.values())
        is_whole = stage in ("verifying", "writing")
        return PullProgress(stage, total_bytes, total_bytes if is_whole else done_bytes)


def _refusal(status: int, content: bytes) -> Refusal:
    found = _reason(content.decode(errors="replace"))
    return refusal_of(status) if found is FAILED else found


def _reason(words: str) -> Refusal:
    folded = words.casefold()
    return next((refusal for part, refusal in _REASONS if part in folded), FAILED)
