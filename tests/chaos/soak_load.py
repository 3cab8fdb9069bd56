"""A moderate load of mixed use: turns that are read, stopped, left and resumed, documents and lists."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random

import httpx

from tests.chaos.upstream import SIGNED
from tests.integration.library import Library, upload
from tests.integration.stack import Stack
from tests.integration.turn_view import TurnView
from tests.integration.waiting import eventually

GATEWAYS = 2
COUNTS = (20, 40, 60)
BUSY = (429, 503, 504)
READY_S = 120.0
QUESTION = "When is the lamp of the lighthouse lit, and where is the powder stored?"

Deed = Callable[[Random], Awaitable[None]]


class RefusedError(Exception):
    """Raised when a part was late or full and said so: on a busy machine that is an answer, not a fault."""


class SoakLoad:
    """Users of one owner, each doing one thing after another. A deed that goes wrong raises."""

    def __init__(self, stack: Stack, library: Library) -> None:
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.turns = 0
        self._stack = stack
        self._library = library
        self._deeds: dict[str, tuple[int, Deed]] = {
            "read": (30, self._read),
            "openai": (15, self._openai),
            "retrieval": (15, self._retrieval),
            "leave and resume": (15, self._leave_and_resume),
            "cancel": (12, self._cancel),
            "leave for good": (5, self._leave_for_good),
            "openai, left": (3, self._openai_left),
            "list and delete": (4, self._list_and_delete),
            "document": (1, self._document),
        }

    async def run(self, duration_s: float, *, users: int, seed: int) -> None:
        """Keep `users` at it for a time; each ends what it has begun."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + duration_s

        async def use(random: Random) -> None:
            weights = [weight for weight, _ in self._deeds.values()]
            while loop.time() < until_s:
                [name] = random.choices(list(self._deeds), weights)
                try:
                    await self._deeds[name][1](random)
                except RefusedError:
                    self.refused[name] += 1
                else:
                    self.done[name] += 1

        async with asyncio.TaskGroup() as tasks:
            for number in range(users):
                tasks.create_task(use(Random(seed * 1000 + number)))

    def forget(self) -> None:
        """Count from here on."""
        self.done.clear()
        self.refused.clear()
        self.turns = 0

    async def each_once(self) -> None:
        """Do every kind of deed one time, so that whatever is opened on first use is open."""
        for name, (_, deed) in self._deeds.items():
            await deed(Random(name))
            self.done[name] += 1

    def _count(self, random: Random) -> int:
        self.turns += 1
        return random.choice(COUNTS)

    async def _read(self, random: Random) -> None:
        count = self._count(random)
        async with self._stack.chat(random.randrange(GATEWAYS)) as chat:
            turn = await chat.ask("Count.", model=SIGNED[count].id, collections=[])
        _completed(turn, count)

    async def _retrieval(self, random: Random) -> None:
        count = self._count(random)
        model = random.choice((SIGNED[count].id, "extractive"))
        async with self._stack.chat(random.randrange(GATEWAYS)) as chat:
            turn = await chat.ask(QUESTION, model=model, collections=[self._library.collection])
        _require_completion(turn)

    async def _leave_and_resume(self, random: Random) -> None:
        count, first = self._count(random), random.randrange(GATEWAYS)
        left_at = random.randrange(count)
        async with self._stack.chat(first) as chat:
            turn = await chat.start("Count for me.", model=SIGNED[count].id, collections=[])
            await chat.until(lambda: turn.is_over or turn.text.count(" ") >= left_at)
        if turn.is_over:
            return
        async with self._stack.chat(1 - first) as chat:
            await chat.resume(turn)
            await chat.until(lambda: turn.is_over)
        _completed(turn, count)

    async def _leave_for_good(self, random: Random) -> None:
        count = self._count(random)
        async with self._stack.chat(random.randrange(GATEWAYS)) as chat:
            turn = await chat.start("Nobody reads this.", model=SIGNED[count].id, collections=[])
            await chat.until(lambda: bool(turn.text))

    async def _cancel(self, random: Random) -> None:
        count = self._count(random)
        stopped_at = random.randrange(count // 2)
        async with self._stack.chat(random.randrange(GATEWAYS)) as chat:
            turn = await chat.start("Stop.", model=SIGNED[count].id, collections=[])
            await chat.until(lambda: turn.text.count(" ") >= stopped_at)
            await chat.send({"type": "cancel_turn", "turn_id": turn.turn_id})
            await chat.until(lambda: turn.is_over)
        assert turn.ending["type"] in ("turn_cancelled", "turn_completed"), turn.ending

    async def _openai(self, random: Random) -> None:
        count = self._count(random)
        text = await self._completion(random, count, words=count)
        assert text.count(" ") == count, text

    async def _openai_left(self, random: Random) -> None:
        count = self._count(random)
        await self._completion(random, count, words=count // 4)

    async def _completion(self, random: Random, count: int, *, words: int) -> str:
        """Return the text of a streamed completion, closed when that many words are there."""
        body = {
            "model": SIGNED[count].id,
            "messages": [{"role": "user", "content": "Count."}],
            "stream": True,
        }
        text = ""
        async with (
            self._stack.http(random.randrange(GATEWAYS)) as client,
            client.stream("POST", "/v1/chat/completions", json=body) as response,
        ):
            if response.is_error:
                await response.aread()
            _require_success(response)
            async for line in response.aiter_lines():
                if line == "data: [DONE]" or (words < count and text.count(" ") >= words):
                    break
                if line.startswith("data: "):
                    for choice in json.loads(line.removeprefix("data: "))["choices"]:
                        text += choice["delta"].get("content") or ""
        return text

    async def _list_and_delete(self, random: Random) -> None:
        async with self._stack.http(random.randrange(GATEWAYS)) as client:
            response = await client.get("/api/conversations")
            _require_success(response)
            listed = response.json()["conversations"]
            # The newest may still be written to.
            for conversation in random.sample(listed[len(listed) // 2 :], min(3, len(listed) // 2)):
                await client.get(f"/api/conversations/{conversation['id']}")
                response = await client.delete(f"/api/conversations/{conversation['id']}")
                if response.status_code != 404:
                    _require_success(response)

    async def _document(self, random: Random) -> None:
        # A document of the same name would take the place of one that somebody else waits for.
        name = f"note-{random.random()}.md"
        text = f"# {name}\n\n" + "The harbour master counts the boats at dawn. " * 40
        async with self._stack.http(random.randrange(GATEWAYS)) as client:
            response = await upload(client, name, text.encode(), "notes")
            _require_success(response)
            path = f"/api/documents/{response.json()['document']['id']}"

            async def is_ready() -> bool:
                found = await client.get(path)
                # Whoever is late with an answer is asked again.
                return found.is_success and found.json()["document"]["status"] == "ready"

            await eventually(is_ready, within_s=READY_S)
            _require_success(await client.delete(path))


def _require_success(response: httpx.Response) -> None:
    """Raise RefusedError for an error that may be tried again; any other one fails."""
    if response.is_error and response.json()["error"].get("retryable", response.status_code in BUSY):
        raise RefusedError
    assert response.is_success, response.text


def _require_completion(turn: TurnView) -> None:
    if turn.ending["type"] == "turn_failed" and turn.ending["retryable"]:
        raise RefusedError
    assert turn.ending["type"] == "turn_completed", turn.ending


def _completed(turn: TurnView, count: int) -> None:
    """Check that a turn has ended with its whole answer."""
    _require_completion(turn)
    places = [int(word.partition("w")[2]) for word in turn.text.split()]
    assert places == list(range(count)), turn.text
