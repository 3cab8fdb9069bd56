"""What a runner does before the model writes: gather, write the context, send the job that passes the pen."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from parley_contracts import subjects
from parley_contracts.attachments import SentAttachment, as_seen
from parley_contracts.errors import ParleyError
from parley_contracts.llm import GenerateJob
from parley_contracts.tools import ToolCall
from parley_contracts.turn_events import ContextReady, EpochStarted, StageChanged, encode_event
from parley_contracts.turns import ChatMessage, ChosenModel, ModelLink, StartTurn, TurnRef
from parley_messaging import Bus
from parley_messaging.bus import QueueFullError
from parley_messaging.message_headers import outgoing
from parley_messaging.queues import llm_jobs
from parley_messaging.turn_writer import TurnWriter, TurnWriters

from parley_gateway.context import ContextAssembly
from parley_gateway.file_room import file_chars, files_of
from parley_gateway.gathering import Gathered, Gathering, is_complete
from parley_gateway.lent_documents import reading_documents
from parley_gateway.model_choice import going_on_with
from parley_gateway.models import Models, chosen_of
from parley_gateway.prompt import assemble, history_chars, passages_chars
from parley_gateway.running_turn import Prompt, RunningTurn, SentJob
from parley_gateway.tool_calling import fault_of
from parley_gateway.tool_catalogue import OfferedTool, ToolCatalogue
from parley_gateway.waiting_turns import WaitingTurns

log = logging.getLogger("parley.gateway")

EVENT_STORED_S = 10.0
FULL_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class PreparedJob:
    """The job of a turn, ready to be sent: its context is stored, or it has none."""

    pool: str
    data: bytes
    turn: TurnRef
    last_seq: int
    claims: dict[str, str]


def is_at_once(command: StartTurn) -> bool:
    """Return whether a turn has nothing to gather.

    Its runner writes nothing then, and so needs no pen: the worker makes the first claim and opens the log.
    """
    return command.chosen is not None and is_complete(command) and not command.named_tools


class Preparation:
    """Brings a turn to where a worker takes the pen, over from its runner or as the first."""

    def __init__(
        self,
        bus: Bus,
        writers: TurnWriters,
        models: Models,
        *,
        gathering: Gathering,
        context: ContextAssembly,
        waiting: WaitingTurns,
        tools: ToolCatalogue,
    ) -> None:
        self._bus = bus
        self._writers = writers
        self._models = models
        self._gathering = gathering
        self._context = context
        self._waiting = waiting
        self._tools = tools

    def at_once(self, turn: RunningTurn, model: ChosenModel) -> PreparedJob:
        """Return the job of a turn that has nothing to gather (`is_at_once`)."""
        turn.note(context_ready_ms=turn.since_ms())
        gathered = Gathered(history=turn.command.history or ())
        return self.job(turn, _prompt(turn, model, gathered, {}))

    async def ready(self, turn: RunningTurn) -> Prompt:
        """Return what the model is asked with; put together anew where another runner had gathered it.

        The passages are those that the log names, which the answer cites by their numbers.
        """
        if turn.prompt is None:
            command = turn.command
            model = command.chosen or chosen_of(await self._models.choose(command.model))
            gathered = await self._gathering.history(
                command, history_chars=history_chars(model.context_tokens, command.text)
            )
            turn.degraded |= gathered.degraded
            offered = await self._tools.named(command.named_tools)
            turn.prompt = _prompt(turn, model, gathered, offered)
        return turn.prompt

    def messages(self, turn: RunningTurn, prompt: Prompt) -> tuple[ChatMessage, ...]:
        """Return what the model is to read: the prompt, and what tools have been called and have said."""
        said = ""
        found = [*prompt.messages]
        for one in turn.rounds:
            # The text of an ending is that of all rounds so far.
            found.append(
                ChatMessage(
                    role="assistant",
                    content=one.finished.text.removeprefix(said),
                    tool_calls=tuple(map(_readable, one.calls)),
                )
            )
            said = one.finished.text
            found += [
                ChatMessage(role="tool", content=one.results[call.id], tool_call_id=call.id)
                for call in one.calls
                if call.id in one.results
            ]
        return tuple(found)

    def job(self, turn: RunningTurn, prompt: Prompt, *, is_last: bool = False) -> PreparedJob:
        """Return the job of the next generation; a last one may call no more tools of Parley."""
        command, own = turn.command, {spec.name for spec in turn.command.tools}
        # A name of the caller's own stands for his tool.
        offered = [tool.spec for name, tool in sorted(prompt.offered.items()) if name not in own]
        calls_no_more = is_last and bool(offered)
        asked = ModelLink(model=prompt.model.id, params=command.params, sees_images=prompt.model.sees_images)
        earlier = turn.rounds[-1].finished.model if turn.rounds else None
        first, others = going_on_with((asked, *command.fallbacks), earlier)
        link, *fallbacks = (_in_round(turn, one, calls_no_more=calls_no_more) for one in (first, *others))
        job = GenerateJob(
            turn=command.turn,
            base_slot=turn.epoch,
            last_seq=turn.last_seq,
            model=link.model,
            fallbacks=tuple(fallbacks),
            messages=self.messages(turn, prompt),
            question=command.text,
            attachments=as_seen(prompt.files, sees_images=link.sees_images),
            citations=turn.citations,
            degraded=tuple(sorted(turn.degraded)),
            params=link.params or command.params,
            uses_cache=command.uses_cache,
            tools=(*command.tools, *offered),
            run_by_parley=tuple(spec.name for spec in offered),
            rounds=len(turn.rounds),
            kept_text=turn.rounds[-1].finished.text if turn.rounds else "",
            deadline_ms=command.deadline_ms,
            command=None if turn.epoch else command,
        )
        data = job.model_dump_json().encode()
        return PreparedJob(prompt.model.pool, data, command.turn, turn.last_seq, turn.claims)

    async def run(self, turn: RunningTurn) -> PreparedJob:
        """Gather, and write the context into the log; what is left to do is to pass the pen."""
        ref, command = turn.command.turn, turn.command
        subject = subjects.turn_events(ref.home, ref.turn_id)
        async with self._writers.open(subject, turn.epoch) as writer:
            await writer.append(partial(_opening, ref.client_turn_id, turn.last_seq))
            await writer.append(partial(_stage, ref.client_turn_id, "gathering"))
            model = command.chosen or chosen_of(await self._models.choose(command.model))
            offered = await self._tools.named(command.named_tools)
            if len(offered) < len(set(command.named_tools)):
                turn.degraded.add("tools")
            gathered = await self._gathering.gather(
                command, history_chars=history_chars(model.context_tokens, command.text)
            )
            room_chars = passages_chars(
                model.context_tokens,
                command.text,
                (*gathered.history, *command.continuation),
                sent_chars=file_chars(_files(command, model, gathered)),
            )
            with reading_documents(command):
                turn.citations = await self._context.assemble(
                    command.documents_owner_id, gathered.pages, gathered.passages, room_chars
                )
            _note_gathered(turn, gathered)
            await self._write_context(turn, writer)
        turn.prompt = _prompt(turn, model, gathered, offered)
        return self.job(turn, turn.prompt)

    async def pass_pen(self, job: PreparedJob, base_slot: int) -> SentJob:
        """Send the job, once its queue has room for it; from then on a worker may write."""
        subject = subjects.llm_generate(job.pool)
        while True:
            try:
                ack = await self._bus.store(subject, job.data, headers=outgoing(extra=job.claims))
                break
            except QueueFullError:
                await asyncio.sleep(FULL_PAUSE_S)
        queue = llm_jobs(job.pool)
        self._waiting.add(queue, ack.stream_seq, job.turn, waits_for="model", after_seq=job.last_seq)
        return SentJob(queue, ack.stream_seq, base_slot)

    async def withdraw(self, sent: SentJob) -> None:
        """Take the job of a turn that has ended out of its queue: its pool may never have a worker."""
        self._waiting.forget(sent.queue, sent.stream_seq)
        try:
            await self._bus.eraser.erase(sent.queue.stream, sent.stream_seq)
        except ParleyError:
            # Its worker finds the turn ended; without one the stream forgets it.
            log.warning("the job of a turn that has ended is left in its queue")

    async def _write_context(self, turn: RunningTurn, writer: TurnWriter) -> None:
        turn_id = turn.command.turn.client_turn_id
        degraded = tuple(sorted(turn.degraded))

        def context(seq: int) -> bytes:
            return encode_event(
                ContextReady(
                    seq=seq,
                    turn_id=turn_id,
                    citations=turn.citations,
                    degraded=degraded,
                    is_searched=turn.is_searched,
                )
            )

        await writer.append(context)
        await writer.append_settled(partial(_stage, turn_id, "generating"), timeout_s=EVENT_STORED_S)
        turn.last_seq = writer.seq - 1


def _prompt(
    turn: RunningTurn, model: ChosenModel, gathered: Gathered, offered: Mapping[str, OfferedTool]
) -> Prompt:
    command = turn.command
    messages = assemble(
        command.text,
        gathered.history,
        turn.citations,
        is_searched=turn.is_searched,
        instructions=command.bot.prompt if command.bot else "",
        continuation=command.continuation,
        calls_tools=bool(offered),
        attachments=command.attachments,
    )
    return Prompt(model, messages, offered, _files(command, model, gathered))


def _files(command: StartTurn, model: ChosenModel, gathered: Gathered) -> tuple[SentAttachment, ...]:
    """Return the files that are sent: of the question, and of what was said before."""
    return files_of(command, model, gathered.history, (*command.kept_attachments, *gathered.attachments))


def _in_round(turn: RunningTurn, link: ModelLink, *, calls_no_more: bool) -> ModelLink:
    """Return a model of the chain as it is asked in this round: what had to be called has been called."""
    params = link.params or turn.command.params
    if calls_no_more:
        choice = "none"
    elif turn.rounds and params.tool_choice not in {None, "auto", "none"}:
        choice = "auto"
    else:
        return link
    return link.model_copy(update={"params": params.model_copy(update={"tool_choice": choice})})


def _readable(call: ToolCall) -> ToolCall:
    """Return a call as the model is shown it again: servers read arguments, and fail on what is no JSON."""
    is_readable = call.arguments.strip() and fault_of(call.arguments) is None
    return call if is_readable else call.model_copy(update={"arguments": "{}"})


def _note_gathered(turn: RunningTurn, gathered: Gathered) -> None:
    turn.degraded |= gathered.degraded
    turn.is_searched = gathered.is_searched
    turn.note(
        history_ms=gathered.took_ms.get("memory"),
        embedded_ms=gathered.took_ms.get("npu"),
        retrieved_ms=gathered.took_ms.get("rag"),
        web_ms=gathered.took_ms.get("browser"),
        context_ready_ms=turn.since_ms(),
    )


def _opening(turn_id: str, follows: int, seq: int) -> bytes:
    return encode_event(EpochStarted(seq=seq, follows=follows, turn_id=turn_id, keep_chars=0))


def _stage(turn_id: str, stage: str, seq: int) -> bytes:
    return encode_event(StageChanged.model_validate({"seq": seq, "turn_id": turn_id, "stage": stage}))
