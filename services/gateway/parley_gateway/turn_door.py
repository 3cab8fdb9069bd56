"""Where turns are started, stopped and resumed: the same door for every protocol of the edge."""

from dataclasses import dataclass
from functools import partial
from uuid import uuid4

from parley_contracts import headers, subjects
from parley_contracts.claims import Acting
from parley_contracts.client_frames import StartTurnFrame
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turn_events import encode_event
from parley_contracts.turns import ChatMessage, ModelLink, StartTurn, TurnBot, TurnRef
from parley_limits import Claim
from parley_messaging import Bus, NotStoredError
from parley_messaging.acting import acting_for, current_acting
from parley_messaging.bus import AlreadyStoredError, QueueFullError, StoreAck
from parley_messaging.message_headers import outgoing
from parley_messaging.queues import TURNS
from parley_messaging.trace_context import correlated, working_in
from parley_messaging.turn_watch import Sink, TurnWatch, TurnWatches

from parley_gateway.admission import Admission
from parley_gateway.caller_side import CALLS_NOTHING, CallerSide
from parley_gateway.ended_turns import EndedTurns
from parley_gateway.limits import Limits
from parley_gateway.model_choice import asked_chain
from parley_gateway.position_watches import PositionSink, PositionWatches
from parley_gateway.principal import Principal
from parley_gateway.spending import BotPayer
from parley_gateway.stored_stops import store_stop
from parley_gateway.turn_asked import as_visitors_may, bare, permitted, require_sound
from parley_gateway.turn_commands import TurnCommands
from parley_gateway.turn_finder import FoundTurn, TurnFinder, no_such_turn, same_turn
from parley_gateway.waiting_turns import WaitingTurns

ACCEPT_TIMEOUT_S = 5.0
PEN_SHARE = 3
"""The claim and the seal of a turn hold its command as well: it may be a third of what a message may."""


@dataclass(frozen=True, slots=True)
class AcceptedTurn:
    """A turn that is durable, and the watch that delivers its events.

    Attributes:
        ref: The turn.
        conversation_id: What it belongs to.
        watch: Its events; `release` ends it.
        accepted_at_ms: When it was first accepted, Unix milliseconds; 0 when nobody knows.
        is_repeat: The turn was there already.
    """

    ref: TurnRef
    conversation_id: str
    watch: TurnWatch
    accepted_at_ms: int
    is_repeat: bool


class TurnDoor:
    """Accepts turns onto the bus and opens watches on them."""

    def __init__(
        self,
        bus: Bus,
        *,
        commands: TurnCommands,
        watches: TurnWatches,
        finder: TurnFinder,
        ended: EndedTurns,
        admission: Admission,
        waiting: WaitingTurns,
        positions: PositionWatches,
        limits: Limits,
    ) -> None:
        self._bus = bus
        self.commands = commands
        self._watches = watches
        self._finder = finder
        self._ended = ended
        self._admission = admission
        self._waiting = waiting
        self._positions = positions
        self.limits = limits
        self.is_closed = False

    async def start(
        self,
        principal: Principal,
        frame: StartTurnFrame,
        sink: Sink,
        *,
        history: tuple[ChatMessage, ...] | None = None,
        caller: CallerSide = CALLS_NOTHING,
        is_stored: bool = True,
        bot: TurnBot | None = None,
        payer: BotPayer | None = None,
        chain: tuple[ModelLink, ...] | None = None,
    ) -> AcceptedTurn:
        """Make a turn durable and watch it from its first event; a repeat watches the turn there is.

        `chain` are the models that a bot names; None goes by those of the frame.

        Raises:
            ParleyError: `forbidden`, `not_found`, `model_not_found`, `conflict` for a repeat that asks for
                something else, `overloaded`, `rate_limited`, `quota_exceeded`, or `unavailable` when not
                accepted.
        """
        frame = self._let_in(principal, frame, bot)
        ref = self.commands.ref(principal, frame.turn_id or uuid4().hex)
        command = self.commands.made(principal, ref, frame, history=history, is_stored=is_stored)
        sides = {"bot": bot, "continuation": caller.continuation, "tools": caller.tools}
        command = command.model_copy(update=sides)
        is_named = frame.turn_id is not None
        links = asked_chain(frame.model, frame.models) if chain is None else chain
        try:
            self._admission.check(self.commands.pool(links))
        except ParleyError:
            # A repeat of an accepted turn is no new one.
            if is_named and (found := await self._find_repeat(principal, ref)) is not None:
                return await self._join_same(command, found, 0, sink)
            raise
        with self._admission.entering():
            try:
                command = await self.commands.equipped(command, links, caller.files)
                find = partial(self._finder.find_soon, ref.turn_id)
                claim = await self.limits.start_turn(principal, command, payer, find)
            except ParleyError:
                if is_named and (found := await self._find_repeat(principal, ref)) is not None:
                    return await self._join_same(command, found, 0, sink)
                raise
            return await self._begin(command, sink, is_named=is_named, claim=claim)

    async def submit(self, principal: Principal, frame: StartTurnFrame, home: str) -> StartTurn:
        """Make a turn durable whose events go to `home`, where somebody else watches; a repeat is the same.

        Raises:
            ParleyError: As `start` does.
        """
        frame = self._let_in(principal, frame)
        ref = self.commands.ref(principal, frame.turn_id or uuid4().hex).model_copy(update={"home": home})
        command = self.commands.made(principal, ref, frame, history=None, is_stored=True)
        is_named = frame.turn_id is not None
        try:
            links = asked_chain(frame.model, frame.models)
            self._admission.check(self.commands.pool(links))
            with self._admission.entering():
                command = await self.commands.equipped(command, links)
                find = partial(self._finder.find_soon, ref.turn_id)
                claim = await self.limits.start_turn(principal, command, find=find)
                ack = await self._accept(command, claim)
        except ParleyError:
            if is_named and (found := await self._find_repeat(principal, ref)) is not None:
                return same_turn(command, found)
            raise
        if ack is not None and not (is_named and await self._stands(command)):
            self._waiting.add(TURNS, ack.stream_seq, ref, waits_for="runner", after_seq=0)
            return command
        found = await self._finder.find_soon(ref.turn_id)
        if found is None:
            raise ParleyError(ErrorCode.UNAVAILABLE, "The turn cannot be found now; ask again.")
        return same_turn(command, found)

    async def _find_repeat(self, principal: Principal, ref: TurnRef) -> FoundTurn | None:
        """Return the turn that somebody asks for again, if there is one; to look costs what a read does.

        Who has no read left is told what was wrong before: it may be that of a new turn.
        """
        try:
            await self.limits.repeat_turn(principal)
        except ParleyError:
            return None
        return await self._finder.find_at_once(ref.turn_id)

    def _let_in(
        self, principal: Principal, frame: StartTurnFrame, bot: TurnBot | None = None
    ) -> StartTurnFrame:
        """Return what is asked, as far as it may be."""
        if self.is_closed:
            raise ParleyError(ErrorCode.UNAVAILABLE, "This gateway is stopping; connect again.")
        if not frame.text.strip():
            raise ParleyError(ErrorCode.INVALID_REQUEST, "text: there is nothing to answer.", field="text")
        require_sound(frame)
        return permitted(principal, frame) if bot is None else as_visitors_may(frame)

    async def _begin(
        self, command: StartTurn, sink: Sink, *, is_named: bool, claim: Claim | None
    ) -> AcceptedTurn:
        ref = command.turn
        ending = partial(self._ending_of, ref, current_acting())
        watch = self._watches.open_new(ref.turn_id, sink, ending)
        # What a lagging replica does not tell of now, the watch finds when no events come.
        watch.expects_log = is_named
        try:
            ack = await self._accept(command, claim)
            is_new = ack is not None and not (is_named and await self._stands(command))
        except BaseException:
            await self._watches.close(watch)
            raise
        if ack is not None and is_new:
            self._admission.watch(watch)
            self._waiting.add(TURNS, ack.stream_seq, ref, waits_for="runner", after_seq=0)
            return AcceptedTurn(ref, command.conversation_id, watch, command.accepted_at_ms, is_repeat=False)
        await self._watches.close(watch)
        found = await self._finder.find_soon(ref.turn_id)
        if found is None:
            raise ParleyError(ErrorCode.UNAVAILABLE, "The turn cannot be found now; ask again.")
        # What was heard before the repeat was recognised has been handed on already.
        return await self._join_same(command, found, watch.last_seq, sink)

    async def _stands(self, command: StartTurn) -> bool:
        """Return whether a turn that the client has named had left the queue before, claimed and ended.

        A runner works on the command meanwhile: it finds the claim of the first one, goes by the command that
        stands there, and has nothing to do but to say once more how the turn ended.
        """
        try:
            found = await self._finder.find_claimed(command.turn.turn_id)
        except ParleyError:
            # It is stored and will be answered; if it is a repeat after all, the watch finds the ending.
            return False
        if found is None:
            return False
        return (found.home, found.accepted_at_ms) != (command.turn.home, command.accepted_at_ms)

    async def _join_same(
        self, command: StartTurn, found: FoundTurn, after_seq: int, sink: Sink
    ) -> AcceptedTurn:
        return await self._join(same_turn(command, found).turn, found, after_seq, sink)

    async def _accept(self, command: StartTurn, claim: Claim | None) -> StoreAck | None:
        """Store the command; None when the stream recognises a repeat. What will not run spends nothing."""
        try:
            ack = await self._store(command)
        except ParleyError as error:
            # Nobody knows of what is unavailable whether it is stored: that reservation stands or expires.
            if error.code is not ErrorCode.UNAVAILABLE:
                await self.limits.release(claim)
            raise
        if ack is None and not await self._finder.is_queued(command.turn.turn_id):
            await self.limits.release(claim)
        return ack

    async def _store(self, command: StartTurn) -> StoreAck | None:
        turn_id = command.turn.turn_id
        body = command.model_dump_json().encode()
        if len(body) > self._bus.max_payload_bytes // PEN_SHARE:
            raise ParleyError(ErrorCode.TOO_LARGE, "The question and its history are too long.", field="text")
        extra = {headers.TURN: bare(command), "Nats-Msg-Id": turn_id, **self._bus.claims.of_turn(turn_id)}
        with working_in(correlated(turn_id)):
            try:
                ack = await self._bus.store(
                    subjects.turn_start(turn_id),
                    body,
                    headers=outgoing(extra=extra),
                    is_first=True,
                    timeout_s=ACCEPT_TIMEOUT_S,
                )
            except AlreadyStoredError:
                return None
            except QueueFullError:
                # A full queue may refuse before it looks whether the turn is there already, or was there.
                if await self._finder.find_at_once(turn_id) is not None:
                    return None
                raise self._admission.full(command.chosen and command.chosen.pool) from None
            except NotStoredError:
                raise ParleyError(ErrorCode.UNAVAILABLE, "The turn could not be accepted now.") from None
        return None if ack.is_duplicate else ack

    async def _join(self, ref: TurnRef, found: FoundTurn, after_seq: int, sink: Sink) -> AcceptedTurn:
        ending = partial(self._ending_of, ref, current_acting())
        watch = await self._watches.open(found.home, ref.turn_id, after_seq, sink, ending)
        self._admission.watch(watch)
        return AcceptedTurn(ref, found.conversation_id, watch, found.accepted_at_ms, is_repeat=True)

    async def hear_positions(self, turn: AcceptedTurn, sink: PositionSink) -> None:
        """Hand `sink` a `queue_position` frame whenever the turn, while it waits, has come further."""
        home, turn_id = subjects.parse_turn_events(turn.watch.subject)
        await self._positions.hear(home, turn_id, turn.watch, sink)

    async def _ending_of(self, ref: TurnRef, acting: Acting | None) -> bytes | None:
        """Return the frame that stands in place of a turn's log; None while the turn has not ended.

        It is asked for by whatever watches the turn, for whoever watches it.
        """
        with acting_for(acting):
            sync = await self._ended.find(ref)
        return None if sync is None else encode_event(sync)

    async def resume(
        self, principal: Principal, client_turn_id: str, after_seq: int, sink: Sink
    ) -> AcceptedTurn:
        """Watch a turn of any gateway from after `after_seq`; of one that is over long since, its answer.

        Raises:
            ParleyError: `not_found` if there is no such turn, `unavailable` if that cannot be known now.
        """
        ref = self.commands.ref(principal, client_turn_id)
        found = await self._finder.find_soon(ref.turn_id)
        if found is not None:
            return await self._join(ref, found, after_seq, sink)
        sync = await self._ended.find_stored(ref)
        if sync is None:
            raise no_such_turn()
        watch = self._watches.finished(ref.turn_id, after_seq, sink, encode_event(sync))
        return AcceptedTurn(ref, sync.conversation_id, watch, 0, is_repeat=True)

    async def _find(self, ref: TurnRef) -> FoundTurn:
        found = await self._finder.find_soon(ref.turn_id)
        if found is None:
            raise no_such_turn()
        return found

    async def cancel(self, principal: Principal, client_turn_id: str) -> TurnRef:
        """Store the stop of a turn; its terminal event follows.

        Raises:
            ParleyError: `not_found` if there is no such turn, `unavailable` if the stop is not stored.
        """
        ref = self.commands.ref(principal, client_turn_id)
        found = await self._find(ref)
        stopped = ref.model_copy(update={"home": found.home})
        try:
            await store_stop(self._bus, stopped)
        except NotStoredError:
            raise ParleyError(ErrorCode.UNAVAILABLE, "The stop could not be stored now.") from None
        return stopped

    async def release(self, watch: TurnWatch) -> None:
        """Stop watching; the turn goes on."""
        self._admission.forget(watch)
        try:
            await self._watches.close(watch)
        finally:
            await self._positions.forget(watch)
