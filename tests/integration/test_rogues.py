"""A taken-over service against the real nats-server: one kind of attempt a test, all of it refused."""

# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
import pytest_asyncio
from nats.aio.msg import Msg
from parley_cli.bus_secrets import OPERATOR
from parley_contracts import subjects
from parley_contracts.browser import PageText, ReadPage
from parley_contracts.bus_rights import BusRights
from parley_contracts.claims import Acting
from parley_contracts.policy import Role
from parley_contracts.turn_events import text_delta_frame
from parley_contracts.turns import PenClaim
from parley_messaging.acting import acting_for
from parley_messaging.nats_bus import NatsBus
from parley_messaging.pen import Pen
from parley_messaging.streams import TURN_EVENTS, matches

from tests.chaos.printed import print_row
from tests.fakes.ollama_server import OllamaFake
from tests.integration import rogue_attempts as attempts
from tests.integration.bus_users import (
    consumers,
    is_all_there,
    kept,
    operating,
    rights_of,
    rogue_as,
    subscriptions_of,
)
from tests.integration.paced import TWO_SECONDS
from tests.integration.rogue import Rogue
from tests.integration.stack import Stack
from tests.integration.test_late_readers import bus_id
from tests.integration.waiting import eventually
from tests.stack_marks import STACK

pytestmark = STACK

USERS = ("browser", "npu", "ext-rogue")
"""Those who read what strangers write, run models of strangers, or are strangers."""


@pytest_asyncio.fixture(loop_scope="session", params=USERS)
async def rights(request: pytest.FixtureRequest) -> BusRights:
    """Whose credentials are in wrong hands."""
    return rights_of(request.param)


@pytest_asyncio.fixture(loop_scope="session")
async def rogue(stack: Stack, rights: BusRights) -> AsyncGenerator[Rogue]:
    """Somebody with these credentials."""
    async with rogue_as(stack, rights.name) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="session")
async def operator(stack: Stack) -> AsyncGenerator[NatsBus]:
    """The user who may do anything, and sees what there is."""
    async with operating(stack) as bus:
        yield bus


@pytest_asyncio.fixture(loop_scope="session")
async def log(operator: NatsBus) -> str:
    """The subject of a turn's log with an event in it that nobody else may read."""
    subject = subjects.turn_events("home", uuid4().hex)
    await operator.store(subject, b"private")
    return subject


def all_refused(rogue: Rogue, user: str, what: str) -> None:
    """Insist that everything was refused and nothing came, and print how much it was."""
    print_row(f"  {user}: {rogue.refused} of {rogue.tries} refused: {what}")
    assert rogue.tries
    assert rogue.allowed == []
    assert [message.subject for message in rogue.heard] == []


async def test_it_listens_to_nobody_elses_subjects(
    stack: Stack, operator: NatsBus, rogue: Rogue, rights: BusRights, log: str
) -> None:
    await rogue.hear_all(attempts.listening(log))
    for other in attempts.others(rights):
        await rogue.hear_all((f"{other.inbox_prefix}.>", f"{other.inbox_prefix}.*"))
        await rogue.hear_all(other.answers, other.name)
    # Its own subjects outside of its group would have every request copied to it.
    await rogue.hear_all(rights.answers)
    await rogue.hear_all(rights.answers, "another-group")
    # What anybody would have heard who listened.
    await operator.store(log, b"more")
    await rogue.connection.flush()
    all_refused(rogue, rights.name, "listening")


async def test_it_reads_no_stream(rogue: Rogue, rights: BusRights, log: str) -> None:
    await rogue.send_all(attempts.reading(log))
    all_refused(rogue, rights.name, "reading streams")


async def test_it_makes_no_consumer_and_takes_from_none(
    rogue: Rogue, rights: BusRights, operator: NatsBus, log: str
) -> None:
    before = await consumers(operator)
    await rogue.send_all(attempts.consuming(await rogue.listening_inbox()))
    await operator.store(log, b"more")
    await rogue.connection.flush()
    all_refused(rogue, rights.name, "consumers")
    assert await consumers(operator) == before


async def test_it_changes_and_empties_no_stream(
    rogue: Rogue, rights: BusRights, operator: NatsBus, log: str
) -> None:
    await operator.objects.put("test/kept", b"kept")
    before = await kept(operator)
    await rogue.send_all(attempts.destroying(await rogue.listening_inbox()))
    all_refused(rogue, rights.name, "changing streams")
    assert is_all_there(before, await kept(operator))
    found = await operator.last_stored(TURN_EVENTS, log)
    assert found is not None
    assert (found.data, await operator.objects.get("test/kept")) == (b"private", b"kept")


async def test_it_sends_nothing_that_others_send(
    rogue: Rogue, rights: BusRights, operator: NatsBus, log: str
) -> None:
    before = await kept(operator)
    await rogue.send_all(attempts.speaking(rights))
    # What is stored is acknowledged wherever its sender says, and so is what is asked of nats-server itself.
    for elsewhere in attempts.ELSEWHERE:
        await rogue.send_all(attempts.speaking(rights), elsewhere)
    all_refused(rogue, rights.name, "sending what others send")
    assert await operator.last_stored(TURN_EVENTS, attempts.FORGED) is None
    assert is_all_there(before, await kept(operator))


async def test_it_answers_in_nobodys_place_not_even_where_it_knows_the_inbox(
    stack: Stack, rogue: Rogue, rights: BusRights, operator: NatsBus
) -> None:
    awaited = [operator.new_inbox()]
    for other in attempts.others(rights):
        heard = [subject for subject, _ in await subscriptions_of(stack, other.name)]
        awaited += [one for one in heard if one.startswith(other.inbox_prefix)]
    assert len(awaited) > 1
    await rogue.send_all((subject.replace("*", "1"), b"{}") for subject in awaited)
    all_refused(rogue, rights.name, "answering in others' place")


@pytest.mark.parametrize("user", ["browser", "npu"])
async def test_it_answers_what_it_is_asked_once(stack: Stack, operator: NatsBus, user: str) -> None:
    taken: asyncio.Queue[Msg] = asyncio.Queue()
    subject = subjects.service_health(user)
    async with rogue_as(stack, user) as rogue:
        await rogue.connection.subscribe(subject, queue=user, cb=taken.put)
        await rogue.connection.flush()
        # The service itself takes its share of the questions.
        for _ in range(200):
            await operator.publish(subject, b"{}", reply=operator.new_inbox())
            await operator.connection.flush()
            await rogue.connection.flush()
            if not taken.empty():
                break
        asked = taken.get_nowait()
        assert [await rogue.may_not_send(asked.reply) for _ in range(3)] == [False, True, True]


@pytest.mark.parametrize("user", ["gateway", "llm", "rag", "memory"])
async def test_a_service_that_chats_go_through_is_held_to_its_rights_as_well(
    stack: Stack, user: str, log: str
) -> None:
    rights = rights_of(user)
    async with rogue_as(stack, user) as rogue:
        inbox = await rogue.listening_inbox()
        heard = [one for one in attempts.listening(log) if not any(matches(own, one) for own in rights.hears)]
        assert f"{subjects.PREFIX}.>" in heard
        await rogue.hear_all(heard)
        for other in attempts.others(rights):
            await rogue.hear_all((f"{other.inbox_prefix}.>",))
            await rogue.hear_all(other.answers, other.name)
        harm = (*attempts.reading(log), *attempts.consuming(inbox), *attempts.destroying(inbox))
        await rogue.send_all(attempts.beyond(harm, rights))
        await rogue.send_all(attempts.speaking(rights))
        print_row(f"  {user}: {rogue.refused} of {rogue.tries} refused: what its rights do not name")
        assert rogue.allowed == []


async def test_with_the_operators_key_the_same_attempts_succeed(
    stack: Stack, operator: NatsBus, log: str
) -> None:
    """So what refuses them is the permissions, and this test sees what is let through."""
    async with rogue_as(stack, OPERATOR) as rogue:
        await rogue.hear_all(attempts.listening(log))
        await rogue.send_all(attempts.reading(log))
        inbox = await rogue.listening_inbox()
        (request, *_) = [one for one in attempts.consuming(inbox) if TURN_EVENTS in one[0]]
        await rogue.send_all([request])
        assert rogue.refused == 0
        await operator.store(log, b"heard live")

        async def is_all_heard() -> bool:
            heard = {(message.data, message.reply.startswith("$JS.ACK.")) for message in rogue.heard}
            # As it was published, and out of the stream by a consumer and by a request.
            return {(b"heard live", False), (b"private", True), (b"private", False)} <= heard

        await eventually(is_all_heard, within_s=10)


async def test_a_rogue_reads_no_chat_and_publishes_no_token_while_a_turn_goes_on(
    stack: Stack, ollama: OllamaFake, operator: NatsBus
) -> None:
    async with AsyncExitStack() as resources, stack.chat() as chat:
        rogues = {user: await resources.enter_async_context(rogue_as(stack, user)) for user in USERS}
        turn = await chat.start("Begin here.", model=TWO_SECONDS.id, collections=[])
        await chat.until(lambda: turn.last_seq > 0)
        turn_id = bus_id(stack, turn)
        claim = await Pen(operator).read(turn_id, 1)
        assert isinstance(claim, PenClaim)
        log = subjects.turn_events(claim.home, turn_id)
        token = text_delta_frame(b'"t"', 1_000_000, "forged")
        for rogue in rogues.values():
            await rogue.hear_all((log, subjects.ALL_TURN_EVENTS, f"{subjects.PREFIX}.>", ">"))
            inbox = await rogue.listening_inbox()
            await rogue.send_all((*attempts.reading(log), *attempts.consuming(inbox)))
            forged = (
                log,
                subjects.turn_start(turn_id),
                subjects.turn_cancel(turn_id),
                *(subjects.pen_slot(turn_id, number) for number in range(1, 5)),
                subjects.turn_hold(turn_id),
                subjects.turn_queue("h", turn_id),
                subjects.llm_generate("ollama"),
            )
            await rogue.send_all((subject, token) for subject in forged)
        # The browser itself goes on meanwhile, and so does the turn.
        page = ReadPage(owner_id="local", url=f"{ollama.url}/", max_chars=1000)
        with acting_for(Acting(page.owner_id, Role.OWNER)):
            answers = await asyncio.gather(
                *(operator.request(subjects.BROWSER_READ, page, PageText, timeout_s=30) for _ in range(2)),
            )
        assert all(answer.text for answer in answers)
        await chat.until(lambda: turn.is_over)
        for user, rogue in rogues.items():
            all_refused(rogue, user, "reading a chat and writing into it")
    assert turn.ending["type"] == "turn_completed"
    assert "forged" not in turn.text
