"""A turn is run for whom it was accepted for, on any gateway and after any death; else not at all."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from parley_contracts import headers, subjects
from parley_contracts.claims import Acting, ClaimsFault
from parley_contracts.errors import ErrorCode
from parley_contracts.llm import GenerateJob
from parley_contracts.policy import Permission, Role
from parley_contracts.turn_events import ContextReady, TurnCompleted, TurnFailed
from parley_contracts.turns import ChatMessage, StartTurn
from parley_gateway.ids import OwnedIds
from parley_identity import create_claims_keys
from parley_identity.bus_claims import Signer
from parley_messaging.acting import acting_for
from parley_messaging.claims_desk import ClaimsDesk
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.message_headers import now_ms
from parley_messaging.work_loop import WorkLoop

from tests.claims import GATEWAY_KEY, keys_of
from tests.integration.waiting import eventually
from tests.unit.gateway.rig import ANSWER, OWNER, Rig, Seen, running

SECRET = ChatMessage(role="user", content="The code is 4711.")


async def is_idle(bus: MemoryBus, loop: WorkLoop) -> bool:
    """Return whether nothing waits in a queue, and nothing of it is worked on."""
    state = await bus.queue_state(loop.queue)
    return state.waiting == state.running == loop.jobs_running == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_claims_keys(tmp_path)
    return tmp_path


@pytest.fixture
async def bus(folder: Path) -> AsyncGenerator[MemoryBus]:
    """One on which everybody, the neighbours too, asks for claims."""
    made = MemoryBus(ClaimsDesk(keys_of(folder)))
    yield made
    await made.close()


async def test_every_message_of_a_turn_is_vouched_for(bus: MemoryBus) -> None:
    async with running(bus) as rig:
        with acting_for(OWNER.acting):
            accepted, seen = await rig.first.ask()
            conversation_id = accepted.conversation_id
            ended = await seen.ended()
            assert isinstance(ended, TurnCompleted)
            assert (seen.text, ended.stored, ended.degraded) == (ANSWER, "yes", ())
            _, seen = await rig.first.ask("And then?", conversation_id=conversation_id)
            assert isinstance(await seen.ended(), TurnCompleted)
    assert not bus.claims.refused


async def test_a_turn_is_taken_over_by_another_gateway_with_the_rights_it_was_accepted_with(
    bus: MemoryBus,
) -> None:
    async with running(bus, runs_turns=False) as rig:
        rig.model.may_go_on.clear()
        with acting_for(OWNER.acting):
            _, seen = await rig.first.ask()
        ended = await rig.ended_by_another(seen)
        assert isinstance(ended, TurnCompleted)
        assert (ended.stored, ended.degraded) == ("yes", ())
    assert not bus.claims.refused


async def test_what_a_turn_may_not_read_it_goes_without(bus: MemoryBus) -> None:
    """The door leaves out what is not permitted; where it did not, whoever has the documents refuses them."""
    async with running(bus) as rig:
        narrow = Acting(OWNER.owner_id, Role.OWNER, (Permission.TURNS_WRITE,))
        with acting_for(narrow):
            _, seen = await rig.first.ask()
        ended = await seen.ended()
        assert isinstance(ended, TurnCompleted)
        assert ended.degraded == ("rag",)
        assert not rig.neighbours.searches
    assert bus.claims.refused == {ClaimsFault.NOT_PERMITTED: 1}


async def forged_turn(rig: Rig, folder: Path, said: str | None, *, is_readable: bool = True) -> Seen:
    """Have a turn of the owner run in his conversation by whoever can write to the queue."""
    ids = OwnedIds(b"secret")
    with acting_for(OWNER.acting):
        accepted, seen = await rig.first.ask()
    await seen.ended()
    rig.neighbours.history = (SECRET,)
    rig.neighbours.stored.clear()
    turn_id = ids.turn_id(OWNER.owner_id, "forged")
    ref = accepted.ref.model_copy(update={"turn_id": turn_id, "client_turn_id": "forged"})
    command = StartTurn(
        turn=ref,
        conversation_id=accepted.conversation_id,
        continues_conversation=True,
        text="What is the code?",
        accepted_at_ms=now_ms(),
        deadline_ms=now_ms() + 20_000,
    )
    found = Seen()
    watch = await rig.second.parts.watches.open(ref.home, turn_id, 0, found.take)
    extra = {headers.CLAIMS: said} if said else {}
    calls = len(rig.model.calls)
    body = command.model_dump_json()
    if not is_readable:
        body, extra = "{", {**extra, headers.TURN: body}
    await rig.bus.store(subjects.turn_start(turn_id), body.encode(), headers=extra)
    await found.ended()
    await rig.second.parts.watches.close(watch)
    assert len(rig.model.calls) == calls
    return found


def signed_by_eva(folder: Path) -> str:
    eva = Acting("eva", Role.OWNER, turn_id=OwnedIds(b"secret").turn_id(OWNER.owner_id, "forged"))
    return Signer(folder / GATEWAY_KEY).sign_lasting(eva, (subjects.ALL_TURN_STARTS,))


@pytest.mark.parametrize("is_readable", [True, False], ids=["readable", "unreadable"])
@pytest.mark.parametrize("who", ["nobody", "another"])
async def test_a_chat_is_not_gone_on_with_by_who_knows_its_id(
    bus: MemoryBus, folder: Path, who: str, is_readable: bool
) -> None:
    async with running(bus) as rig:
        said = None if who == "nobody" else signed_by_eva(folder)
        found = await forged_turn(rig, folder, said, is_readable=is_readable)
        (ended,) = found.events
        assert isinstance(ended, TurnFailed)
        assert ended.code is ErrorCode.FORBIDDEN
        # Neither is anything of it kept, nor did anybody read what was said before.
        assert not rig.neighbours.stored
        assert not any(isinstance(event, ContextReady) for event in found.events)


async def test_a_command_nobody_vouches_for_leaves_a_turn_alone_that_is_there(bus: MemoryBus) -> None:
    async with running(bus) as rig:
        with acting_for(OWNER.acting):
            accepted, seen = await rig.first.ask()
        await seen.ended()
        records = await rig.first.pen.read_all(accepted.ref.turn_id)
        again = StartTurn(
            turn=accepted.ref,
            conversation_id=accepted.conversation_id,
            continues_conversation=False,
            text="Something else?",
            accepted_at_ms=now_ms(),
            deadline_ms=now_ms() + 20_000,
        )
        await rig.bus.store(subjects.turn_start(again.turn.turn_id), again.model_dump_json().encode())
        await eventually(lambda: is_idle(bus, rig.first.loop))
        assert bus.claims.refused == {ClaimsFault.MISSING: 1}
        assert await rig.first.pen.read_all(accepted.ref.turn_id) == records
        assert seen.types.count("turn_completed") == 1


async def test_a_worker_writes_for_nobody_whom_no_gateway_sends(bus: MemoryBus, folder: Path) -> None:
    async with running(bus) as rig:
        with acting_for(OWNER.acting):
            _, seen = await rig.first.ask()
        await seen.ended()
        job: GenerateJob = rig.model.calls[0]
        for turn in (job.turn, job.turn.model_copy(update={"turn_id": "another"})):
            forged = job.model_copy(update={"turn": turn, "base_slot": 0})
            await rig.bus.store(subjects.llm_generate("scripted"), forged.model_dump_json().encode())
        await eventually(lambda: is_idle(bus, rig.worker_loop))
        assert len(rig.model.calls) == 1
        assert bus.claims.refused == {ClaimsFault.MISSING: 2}
