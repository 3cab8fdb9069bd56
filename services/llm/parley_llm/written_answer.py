"""What of an answer stands in the log: its text, what was thought, the calls of tools."""

from collections.abc import Collection
from typing import Protocol

from parley_contracts.tools import ToolCall
from parley_contracts.turn_events import reasoning_delta_frame, text_delta_frame, tool_call_delta_frame
from pydantic_core import to_json

from parley_llm.language_model import Logprobs, Piece, ReasoningChunk, TextChunk


class Strand(Protocol):
    """What deltas are of that may travel as one. No model is built for a delta: its frame is written out."""

    @property
    def is_told(self) -> bool:
        """Whether viewers are told of it."""
        ...

    def frame(self, seq: int, text: str) -> bytes:
        """Return the frame of a delta."""
        ...

    def note(self, text: str) -> None:
        """Take a delta that stands in the log."""
        ...


class _Text:
    is_told = True

    def __init__(self, turn_id_json: bytes, parts: list[str]) -> None:
        self._turn_id_json = turn_id_json
        self._parts = parts

    def note(self, text: str) -> None:
        self._parts.append(text)

    def frame(self, seq: int, text: str) -> bytes:
        return text_delta_frame(self._turn_id_json, seq, text)


class _WeighedText(_Text):
    """One piece of text with the likelihood of its tokens."""

    def __init__(self, turn_id_json: bytes, parts: list[str], logprobs: Logprobs) -> None:
        super().__init__(turn_id_json, parts)
        self._logprobs = logprobs

    def frame(self, seq: int, text: str) -> bytes:
        plain = super().frame(seq, text)
        return b'%b,"logprobs":%b}' % (plain[:-1], to_json(self._logprobs, inf_nan_mode="null"))


class _Reasoning:
    is_told = True

    def __init__(self, turn_id_json: bytes) -> None:
        self._turn_id_json = turn_id_json
        self.chars = 0

    def frame(self, seq: int, text: str) -> bytes:
        return reasoning_delta_frame(self._turn_id_json, seq, text)

    def note(self, text: str) -> None:
        self.chars += len(text)


class _Call:
    """The arguments of one call; the first piece of them goes by `begun`."""

    def __init__(self, turn_id_json: bytes, index: int, call_id: str, name: str, *, is_told: bool) -> None:
        self.is_told = is_told
        self._turn_id_json = turn_id_json
        self._index = index
        self.id, self.name = call_id, name
        self.arguments: list[str] = []

    def note(self, text: str) -> None:
        self.arguments.append(text)

    def frame(self, seq: int, text: str) -> bytes:
        return tool_call_delta_frame(self._turn_id_json, seq, self._index, text)


class _BegunCall:
    """The first piece of a call, which says whose it is."""

    def __init__(self, call: _Call, calls: list[_Call]) -> None:
        self.is_told = call.is_told
        self._call = call
        self._calls = calls

    def frame(self, seq: int, text: str) -> bytes:
        named = b'"call_id":%b,"name":%b}' % (to_json(self._call.id), to_json(self._call.name))
        return b"%b,%b" % (self._call.frame(seq, text)[:-1], named)

    def note(self, text: str) -> None:
        self._calls.append(self._call)
        self._call.note(text)


class WrittenAnswer:
    """One epoch's answer, on from the text that stands already. Only what is noted is part of it.

    Of the calls of `untold` tools no viewer is told in pieces: who runs them tells of them.
    """

    def __init__(self, turn_id_json: bytes, standing_text: str = "", *, untold: Collection[str] = ()) -> None:
        self._untold = frozenset(untold)
        self._turn_id_json = turn_id_json
        self._parts = [standing_text] if standing_text else list[str]()
        self._text = _Text(turn_id_json, self._parts)
        self._reasoning = _Reasoning(turn_id_json)
        self._begun: dict[int, _Call] = {}
        self._calls: list[_Call] = []

    def strand_of(self, piece: Piece) -> tuple[Strand, str]:
        """Return what a piece is more of, and its text."""
        if isinstance(piece, TextChunk):
            if piece.logprobs is None:
                return self._text, piece.text
            return _WeighedText(self._turn_id_json, self._parts, piece.logprobs), piece.text
        if isinstance(piece, ReasoningChunk):
            return self._reasoning, piece.text
        if (known := self._begun.get(piece.index)) is not None:
            return known, piece.arguments
        name = piece.name or ""
        is_told = name not in self._untold
        call = _Call(self._turn_id_json, piece.index, piece.id or "", name, is_told=is_told)
        self._begun[piece.index] = call
        return _BegunCall(call, self._calls), piece.arguments

    @property
    def is_empty(self) -> bool:
        """Whether nothing stands yet of what a model has written."""
        return not (self._parts or self._reasoning.chars or self._calls)

    @property
    def text(self) -> str:
        """The text as it stands."""
        return "".join(self._parts)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls as they stand, in their order."""
        return tuple(
            ToolCall(id=call.id, name=call.name, arguments="".join(call.arguments)) for call in self._calls
        )

    @property
    def chars(self) -> int:
        """How much was written in all, said or not."""
        arguments = sum(len(part) for call in self._calls for part in call.arguments)
        return sum(map(len, self._parts)) + self._reasoning.chars + arguments
