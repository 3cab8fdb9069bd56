"""What a runner knows of the turn it runs."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from parley_contracts.attachments import SentAttachment
from parley_contracts.citations import Citation
from parley_contracts.tools import ToolCall
from parley_contracts.turn_events import GenerationFinished
from parley_contracts.turns import ChatMessage, ChosenModel, StartTurn, TurnTimings
from parley_messaging.queues import WorkQueue
from parley_messaging.turn_log import TurnLog

from parley_gateway.tool_catalogue import OfferedTool


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model of a turn is asked with, whichever round it is.

    Attributes:
        model: The model.
        messages: From the system prompt to the question.
        offered: The tools of Parley that it may call, by name.
        files: What the messages name, as far as it is sent.
    """

    model: ChosenModel
    messages: tuple[ChatMessage, ...]
    offered: Mapping[str, OfferedTool]
    files: tuple[SentAttachment, ...] = ()


@dataclass(slots=True)
class ToolRound:
    """A generation that ended with calls of tools that Parley runs, and what has come of them.

    Attributes:
        finished: How it ended.
        calls: The calls; their ids are unique in the turn.
        called: Ids of those that viewers were told of.
        results: What the model is told, by call.
    """

    finished: GenerationFinished
    calls: tuple[ToolCall, ...]
    called: set[str] = field(default_factory=set[str])
    results: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class SentJob:
    """A job in the queue of its pool; the worker who takes it claims the slot behind `base_slot`."""

    queue: WorkQueue
    stream_seq: int
    base_slot: int


@dataclass(slots=True)
class RunningTurn:
    """A turn, from its claim to its seal."""

    command: StartTurn
    epoch: int = 0
    last_seq: int = 0
    citations: tuple[Citation, ...] = ()
    is_searched: bool = False
    degraded: set[str] = field(default_factory=set[str])
    timings: TurnTimings = field(default_factory=TurnTimings)
    text: str = ""
    claims: dict[str, str] = field(default_factory=dict[str, str])
    """The header with the turn's own claims, which its job carries on."""
    prompt: Prompt | None = None
    rounds: list[ToolRound] = field(default_factory=list[ToolRound])
    sent: SentJob | None = None
    """Its job, once that is in the queue."""

    def since_ms(self) -> float:
        """Return the time since the turn was accepted, in milliseconds."""
        return round(time.time() * 1000 - self.command.accepted_at_ms, 1)

    def note(self, **timings: float | None) -> None:
        """Add to the turn's timings."""
        self.timings = self.timings.model_copy(update=timings)

    @property
    def left_s(self) -> float:
        """How long the turn may still take."""
        return max(0.0, self.command.deadline_ms / 1000 - time.time())

    def begin_round(self, finished: GenerationFinished) -> ToolRound:
        """Note that a generation has ended with calls of tools."""
        used = {call.id for one in self.rounds for call in one.calls}
        begun = ToolRound(finished, tuple(_with_own_ids(finished.tool_calls, used, len(self.rounds) + 1)))
        self.rounds.append(begun)
        return begun

    def restore(self, standing: TurnLog) -> None:
        """Take what another runner has gathered and run from what its log says."""
        self.last_seq, self.text = standing.last_seq, standing.text
        if standing.context is not None:
            self.citations = standing.context.citations
            self.is_searched = standing.context.is_searched
            self.degraded |= set(standing.context.degraded)
        for logged in standing.rounds:
            begun = self.begin_round(logged.finished)
            begun.called |= logged.called
            begun.results |= {call_id: result.text for call_id, result in logged.results.items()}

    @property
    def earlier(self) -> tuple[GenerationFinished, ...]:
        """The ends of the generations that called tools."""
        return tuple(one.finished for one in self.rounds)


def _with_own_ids(calls: tuple[ToolCall, ...], used: set[str], number: int) -> Iterator[ToolCall]:
    """Yield calls with ids that no other call of the turn has; the same calls get the same ids again."""
    for index, call in enumerate(calls):
        name = call.id if call.id and call.id not in used else f"call_{number}_{index}"
        used.add(name)
        yield call if name == call.id else call.model_copy(update={"id": name})
