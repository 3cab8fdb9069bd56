"""A client that leaves and comes back all the time, to either gateway, reads the exact answer."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from tests.chaos.printed import print_table
from tests.chaos.raw_socket import RawSocket
from tests.chaos.scale import IS_FULL, scaled
from tests.chaos.stored_answers import stored_answer
from tests.chaos.upstream import SIX_SECONDS, TEN_SECONDS
from tests.integration.stack import Stack
from tests.integration.turn_view import TurnView
from tests.stack_marks import STACK

pytestmark = [pytest.mark.chaos, *STACK]

ANSWERS = scaled(2, 5)
RECONNECTS = scaled(40, 200) // ANSWERS
LAST_WORDS = 4
MODEL = TEN_SECONDS if IS_FULL else SIX_SECONDS
SEED = 20_261_120
SILENCE_S = 30.0
HOPPING = 0.75
LEGEND = """A row is a way to leave a socket: closed, reset, reset in the middle of a frame, at once after
asking, and after each event of an answer's end. The text over all sockets is that of one reader,
and of memory."""
WAYS = ("close", "reset", "reset in a frame", "without a word")


@dataclass
class Restless:
    """One viewer of one turn, who may leave `left` times more, and what he has done so far."""

    stack: Stack
    chance: random.Random
    view: TurnView
    left: int = RECONNECTS
    done: Counter[str] = field(default_factory=Counter[str])
    gateway: int = 0

    async def watch(self, start: dict[str, Any]) -> None:
        """Start the turn, leave and come back to its end; what is left then is spent on reading it again."""
        while not self.view.is_over:
            asked = self._resume(self.view) if self.view.conversation_id else start
            await self._visit(asked, self.view, self._choose_visit())
        while self.left > 0:
            self._count("after the end")
            await self._read_again(self.chance.randrange(len(self.view.events)))

    async def _read_again(self, place: int) -> None:
        rest = TurnView(self.view.turn_id)
        rest.last_seq = self.view.events[place]["seq"]
        heard = self.view.events[place + 1 :]
        await self._visit(self._resume(rest), rest, lambda _: len(rest.events) < len(heard))
        assert rest.events == heard

    def _resume(self, view: TurnView) -> dict[str, Any]:
        return {"type": "resume_turn", "turn_id": view.turn_id, "after_seq": view.last_seq}

    def _count(self, way: str) -> None:
        self.left -= 1
        self.done[way] += 1

    def _choose_visit(self) -> Callable[[RawSocket], bool]:
        """Return what holds while this visit lasts."""
        view = self.view
        if view.text.count(" ") >= MODEL.count - LAST_WORDS:
            # The end is taken one event a visit.
            self._count("at the end")
            events = len(view.events)
            return lambda _: len(view.events) == events
        if self.left <= LAST_WORDS:
            return lambda _: view.text.count(" ") < MODEL.count - LAST_WORDS and not view.is_over
        way = self.chance.choice(WAYS)
        self._count(way)
        if way == "without a word":
            return lambda _: False
        if way == "reset in a frame":
            most_bytes = self.chance.randrange(200, 800)
            return lambda connection: connection.read_bytes < most_bytes and not view.is_over
        events = len(view.events) + self.chance.randrange(8)
        return lambda _: len(view.events) < events and not view.is_over

    async def _visit(
        self, asked: dict[str, Any], view: TurnView, goes_on: Callable[[RawSocket], bool]
    ) -> None:
        if self.chance.random() < HOPPING:
            self.gateway = 1 - self.gateway
            self.done["hops"] += 1
        connection = await RawSocket.open(self.stack.url(self.gateway), self.stack.headers)
        try:
            await connection.send(asked)
            while goes_on(connection):
                async with asyncio.timeout(SILENCE_S):
                    # Odd and small, so that frames are broken off anywhere.
                    frames = await connection.read(13)
                assert connection.closed_with is None
                for frame in frames:
                    assert frame["type"] != "error", frame
                    view.take(frame)
        finally:
            (connection.close if self.chance.random() < 0.5 else connection.abort)()


async def test_a_client_that_reconnects_all_the_time_reads_the_exact_text(stack: Stack) -> None:
    chance = random.Random(SEED)
    viewers = [Restless(stack, random.Random(chance.random()), TurnView(uuid4().hex)) for _ in range(ANSWERS)]
    began_s = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as tasks:
        for viewer in viewers:
            start = {"type": "start_turn", "turn_id": viewer.view.turn_id, "text": "Tell me."}
            tasks.create_task(viewer.watch({**start, "model": MODEL.id, "collections": []}))
    took_s = asyncio.get_running_loop().time() - began_s
    done = sum((viewer.done for viewer in viewers), Counter[str]())
    hops = done.pop("hops", 0)
    rows = [f"{done.total()} reconnects, {hops} to the other gateway, {ANSWERS} answers, {took_s:.1f} s"]
    rows += [f"  {way:>18}  {count:4}" for way, count in done.most_common()]
    print_table("test_reconnects: clients leave and come back all the time", *rows, LEGEND)
    for viewer in viewers:
        turn = viewer.view
        whole = TurnView(turn.turn_id)
        async with stack.chat() as chat:
            await chat.resume(whole)
            await chat.until(lambda whole=whole: whole.is_over)
        assert turn.events == whole.events
        assert turn.text == MODEL.answer_begun_as(turn.text)
        assert await stored_answer(stack, turn) == turn.text
    assert done.total() >= RECONNECTS * ANSWERS
    assert hops > 0
    assert done["at the end"] >= ANSWERS
