"""A streamed answer of an Ollama server."""

from collections.abc import Iterator, Mapping
from typing import Any

from parley_contracts.turns import TokenUsage
from pydantic_core import from_json

from parley_llm.backends.byte_records import RecordReader
from parley_llm.backends.server_errors import FAILED
from parley_llm.backends.token_counts import token_usage
from parley_llm.backends.told_logprobs import told_logprobs
from parley_llm.backends.tool_call_pieces import ToolCallPieces
from parley_llm.language_model import FinishReason, Piece, ReasoningChunk, TextChunk

Json = Mapping[str, Any]

_NOTHING: Json = {}


class OllamaDecoder:
    """Reads an answer of JSON lines; the last one is done and tells the counts. Tool calls come whole."""

    def __init__(self, model: str) -> None:
        self.ending: FinishReason | None = None
        self.usage = TokenUsage()
        self._model = model
        self._calls = ToolCallPieces()
        self._lines = RecordReader(b"\n")

    def feed(self, received: bytes) -> Iterator[Piece | None]:
        for line in self._lines.feed(received):
            if not line:
                continue
            part = from_json(line)
            if part.get("error"):
                raise FAILED.error(self._model)
            yield from self._said(part.get("message") or _NOTHING, part)
            if part.get("done"):
                self._finish(part)

    def close(self) -> Iterator[Piece | None]:
        return self.feed(b"\n")

    def _said(self, message: Json, part: Json) -> Iterator[Piece | None]:
        if thought := message.get("thinking"):
            yield ReasoningChunk(thought) if isinstance(thought, str) else None
        text = message.get("content") or ""
        if not isinstance(text, str):
            raise TypeError("content is not text")
        if not text:
            yield None
        elif logprobs := part.get("logprobs"):
            yield TextChunk(text, told_logprobs(logprobs))
        else:
            yield TextChunk(text)
        if calls := message.get("tool_calls"):
            yield from self._calls.read(calls)

    def _finish(self, part: Json) -> None:
        if part.get("done_reason") == "length":
            self.ending = "length"
        else:
            self.ending = "tool_calls" if self._calls.are_there else "stop"
        self.usage = token_usage(part.get("prompt_eval_count"), part.get("eval_count"))
