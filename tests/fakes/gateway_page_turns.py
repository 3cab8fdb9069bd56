"""Scripted turns for the stand-in gateway: each writes a log that any number of sockets follow."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypedDict

from parley_contracts.citations import Citation
from parley_contracts.client_frames import StartTurnFrame
from parley_contracts.errors import ErrorCode
from parley_contracts.turn_events import (
    TERMINAL_TYPES,
    ContextReady,
    EpochStarted,
    StageChanged,
    Sync,
    TextDelta,
    TurnCancelled,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    encode_event,
    frame_seq,
    frame_type,
)
from parley_contracts.turns import EPOCH_SPAN, Support, TokenUsage, TurnOutcome, TurnTimings
from parley_gateway.cited import cited, support

Script = Callable[["ScriptedTurn"], Awaitable[None]]


class EventHead(TypedDict):
    """What every event of a turn begins with."""

    seq: int
    turn_id: str


class OpeningHead(EventHead):
    """What the first event of an epoch begins with; an ending has an epoch of its own."""

    follows: int


class ScriptedTurn:
    """A turn's log and the writing end that a script uses."""

    def __init__(self, frame: StartTurnFrame, turn_id: str, conversation_id: str) -> None:
        self.frame = frame
        self.turn_id = turn_id
        self.conversation_id = conversation_id
        self.text = ""
        self.citations: tuple[Citation, ...] = ()
        self.outcome: str | None = None
        self.support: Support | None = None
        self._log: list[bytes] = []
        self._epoch = 0
        self._written = 0
        self._last_seq = 0
        self._grown = asyncio.Condition()
        self._gates: dict[str, asyncio.Event] = {}

    def gate(self, name: str) -> asyncio.Event:
        """Return the event that a script waits for and a test sets."""
        return self._gates.setdefault(name, asyncio.Event())

    async def follow(self, after_seq: int) -> AsyncIterator[bytes]:
        """Yield every frame after `after_seq`, up to the terminal one."""
        at = 0
        while True:
            while at < len(self._log):
                frame = self._log[at]
                at += 1
                if frame_seq(frame) > after_seq:
                    yield frame
                if frame_type(frame) in (*TERMINAL_TYPES, "sync"):
                    return
            async with self._grown:
                await self._grown.wait_for(lambda at=at: len(self._log) > at)

    async def stage(self, stage: str) -> None:
        await self._write(StageChanged.model_validate({**self._head(), "stage": stage}))

    async def context(self, *citations: Citation, degraded: Sequence[str] = ()) -> None:
        self.citations = citations
        await self._write(ContextReady(**self._head(), citations=citations, degraded=tuple(degraded)))

    async def say(self, *deltas: str) -> None:
        for text in deltas:
            self.text += text
            await self._write(TextDelta(**self._head(), text=text))

    async def take_over(self, keep_chars: int) -> None:
        """Begin the next epoch, as a new writer that keeps the first `keep_chars` code points."""
        self.text = self.text[:keep_chars]
        await self._write(EpochStarted(**self._opening(), keep_chars=keep_chars))

    async def complete(
        self, *, degraded: Sequence[str] = (), model: str = "extractive", is_searched: bool = False
    ) -> None:
        self.outcome = "completed"
        cites = cited(self.text, self.citations)
        self.support = support(self.citations, cites, is_searched=is_searched)
        await self._write(
            TurnCompleted(
                **self._opening(),
                conversation_id=self.conversation_id,
                model=model,
                usage=TokenUsage(),
                finish_reason="stop",
                citations=cites,
                support=self.support,
                degraded=tuple(degraded),
                timings=TurnTimings(total_ms=1234.5),
                stored="yes",
            )
        )

    async def fail(self, code: ErrorCode, message: str, *, retryable: bool) -> None:
        self.outcome = "failed"
        await self._write(
            TurnFailed(
                **self._opening(),
                conversation_id=self.conversation_id,
                code=code,
                message=message,
                retryable=retryable,
            )
        )

    async def cancel(self) -> None:
        self.outcome = "cancelled"
        await self._write(
            TurnCancelled(**self._opening(), conversation_id=self.conversation_id, kept_chars=len(self.text))
        )

    def expire(self, *, text: str) -> None:
        """Forget the log; `text` is the answer that was stored, and cites everything."""
        sync = Sync(
            seq=(self._epoch + 1) * EPOCH_SPAN,
            turn_id=self.turn_id,
            conversation_id=self.conversation_id,
            outcome=TurnOutcome.COMPLETED,
            text=text,
            citations=self.citations,
        )
        self._log[:] = [encode_event(sync)]

    def _head(self) -> EventHead:
        seq = self._epoch * EPOCH_SPAN + self._written
        self._written += 1
        self._last_seq = seq
        return {"seq": seq, "turn_id": self.turn_id}

    def _opening(self) -> OpeningHead:
        follows = self._last_seq
        self._epoch += 1
        self._written = 0
        return {**self._head(), "follows": follows}

    async def _write(self, event: TurnEvent) -> None:
        async with self._grown:
            self._log.append(encode_event(event))
            self._grown.notify_all()
