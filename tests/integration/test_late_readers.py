"""Many readers of one turn read the same; one who comes when the log has expired reads the stored answer."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from parley_contracts import subjects
from parley_contracts.accounts import LOCAL_OWNER
from parley_contracts.turn_events import LAST_SEQ
from parley_contracts.turns import PenClaim
from parley_gateway.identity import Secrets
from parley_gateway.ids import OwnedIds
from parley_messaging.nats_bus import NatsBus
from parley_messaging.pen import Pen
from parley_messaging.streams import TURN_EVENTS, TURN_PEN
from parley_messaging.turn_watch import TurnWatches

from tests.fakes.ollama_server import OllamaFake
from tests.integration.paced import TWO_SECONDS
from tests.integration.stack import Stack
from tests.integration.test_two_gateways import stored_answer
from tests.integration.turn_view import Frame, TurnView
from tests.integration.waiting import eventually
from tests.stack_marks import STACK

pytestmark = STACK

WATCHERS = 5
WAIT_S = 20.0


@asynccontextmanager
async def on_the_bus(stack: Stack) -> AsyncGenerator[NatsBus]:
    """A connection as another service has one."""
    bus = NatsBus(stack.nats_url, name="observer", grace_s=2, access=stack.operator_access)
    await bus.connect()
    try:
        yield bus
    finally:
        await bus.close()


def bus_id(stack: Stack, turn: TurnView) -> str:
    secrets = Secrets.read(stack.folder / "secrets")
    return OwnedIds(secrets.turn_key).turn_id(LOCAL_OWNER, turn.turn_id)


async def watch_from(stack: Stack, turn_id: str, gateway: int, words: int, lead: TurnView) -> TurnView:
    """Come to a turn when `lead` has read so many words, and read it to its end."""

    async def is_there() -> bool:
        return lead.text.count(" ") >= words

    await eventually(is_there, within_s=WAIT_S)
    view = TurnView(turn_id)
    async with stack.chat(gateway) as chat:
        await chat.resume(view)
        await chat.until(lambda: view.is_over)
    return view


async def listen(bus: NatsBus, turn_id: str) -> list[Frame]:
    """Hear a turn as another service does: by its pen and its events, from the beginning."""
    first = await Pen(bus).read(turn_id, 1)
    assert isinstance(first, PenClaim)
    watches, frames = TurnWatches(bus, "observer"), list[Frame]()
    await watches.start()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(watches.run())
        watch = await watches.open(first.home, turn_id, 0, lambda frame, _: frames.append(json.loads(frame)))

        async def has_ended() -> bool:
            return watch.is_finished

        await eventually(has_ended, within_s=WAIT_S)
        await watches.close(watch)
        running.cancel()
    return frames


async def test_all_readers_of_a_turn_read_the_same_events(stack: Stack, ollama: OllamaFake) -> None:
    calls = ollama.stats.calls
    async with on_the_bus(stack) as bus, stack.chat(0) as chat, asyncio.TaskGroup() as tasks:
        lead = await chat.start("For all to read.", model=TWO_SECONDS.id, collections=[])
        others = [
            tasks.create_task(watch_from(stack, lead.turn_id, number % 2, 20 * number, lead))
            for number in range(WATCHERS)
        ]
        await chat.until(lambda: lead.text.count(" ") > 1)
        service = tasks.create_task(listen(bus, bus_id(stack, lead)))
        await chat.until(lambda: lead.is_over)
    assert lead.text == TWO_SECONDS.answer_begun_as(lead.text)
    assert [view.result().events for view in others] == [lead.events] * WATCHERS
    assert [frame for frame in service.result() if frame["type"] != "generation_finished"] == lead.events
    assert ollama.stats.calls == calls + 1


async def resumed(stack: Stack, turn: TurnView, after_seq: int = 0) -> list[dict[str, Any]]:
    """Resume on the other gateway and return what comes up to the answer to a ping that follows it."""
    async with stack.chat(1) as chat:
        await chat.send({"type": "resume_turn", "turn_id": turn.turn_id, "after_seq": after_seq})
        frames = [await chat.next_frame()]
        assert frames[0]["type"] == "turn_accepted", frames
        if not after_seq:
            frames.append(await chat.next_frame())
        await chat.send({"type": "ping"})
        frames.append(await chat.next_frame())
        assert frames.pop() == {"type": "pong"}
    return frames[1:]


async def test_an_answer_outlives_its_log_and_its_pen(stack: Stack) -> None:
    async with stack.chat(0) as chat:
        turn = await chat.ask("Keep this.", model=TWO_SECONDS.id, collections=[])
    stored: Frame = {
        "turn_id": turn.turn_id,
        "type": "sync",
        "conversation_id": turn.conversation_id,
        "outcome": "completed",
        "text": await stored_answer(stack, turn),
        "citations": [],
        "support": None,
    }
    assert stored["text"] == turn.text
    turn_id = bus_id(stack, turn)
    async with on_the_bus(stack) as bus:
        first = await Pen(bus).read(turn_id, 1)
        assert isinstance(first, PenClaim)
        jetstream = bus.connection.jetstream()  # pyright: ignore[reportUnknownMemberType] - nats-py leaves arguments untyped
        await jetstream.purge_stream(TURN_EVENTS, subject=subjects.turn_events(first.home, turn_id))
        assert await resumed(stack, turn) == [{**stored, "seq": turn.ending["seq"]}]
        assert await resumed(stack, turn, turn.ending["seq"]) == []
        for number in range(1, turn.ending["seq"] // 1_000_000 + 1):
            await jetstream.purge_stream(TURN_PEN, subject=subjects.pen_slot(turn_id, number))
        assert await resumed(stack, turn) == [{**stored, "seq": LAST_SEQ}]
        assert await resumed(stack, turn, LAST_SEQ) == []


async def test_a_turn_that_nobody_knows_is_not_found(stack: Stack) -> None:
    async with stack.chat(1) as chat:
        refused = await chat.answer_to({"type": "resume_turn", "turn_id": uuid4().hex, "after_seq": 0})
    assert (refused["type"], refused["code"]) == ("error", "not_found")
