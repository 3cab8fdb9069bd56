"""The readers of a benchmark: many chats in one process, at the least cost.

While an answer comes, bytes and their times are only appended; they are taken apart when it is over.
"""

import asyncio
import time
from bisect import bisect_left
from typing import Any

import uvloop

from benchmarks.chat_dialects import DIALECTS, Dialect
from benchmarks.commands import serve_commands
from benchmarks.kept_connection import KeptConnection, all_ended
from benchmarks.stamped_text import Reading, read_answer

OPEN_S = 60.0
OPEN_AT_ONCE = 16
POLL_S = 0.2
FIRST_WORD = b" w0@"


class Chat(KeptConnection):
    """One connection, which has one answer at a time."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__()
        self._dialect = dialect
        self._overlap = max(map(len, dialect.ends)) - 1
        self._ends: list[int] = []
        self._times_us: list[int] = []
        self.asked_us = 0

    def data_received(self, data: bytes) -> None:
        now_us = time.monotonic_ns() // 1000
        known = len(self.raw)
        super().data_received(data)
        self._ends.append(len(self.raw))
        self._times_us.append(now_us)
        if any(self.raw.find(end, max(0, known - self._overlap)) >= 0 for end in self._dialect.ends):
            self.ended.set()
        if reply := self._dialect.reply_to(data):
            self.write(reply)

    async def open(self, port: int, key: str) -> None:
        await self._dialect.open(self, port, key)

    def ask(self, question: str) -> None:
        """Put a question."""
        self.raw.clear()
        self._ends.clear()
        self._times_us.clear()
        self.ended.clear()
        self.asked_us = time.monotonic_ns() // 1000
        self.write(self._dialect.question(question))

    def reading(self) -> Reading:
        """Return what came since the question."""
        pieces = [
            (self._times_us[bisect_left(self._ends, end)], text)
            for end, text in self._dialect.pieces(bytes(self.raw))
        ]
        return read_answer(pieces)

    def tail(self) -> str:
        """Return the end of what came, for a complaint."""
        return bytes(self.raw[-300:]).decode(errors="replace")


def _result(chat: Chat) -> dict[str, Any]:
    """Return one answer's figures; `ttft_ms` is without what the upstream itself took for its first word."""
    reading = chat.reading()
    found: dict[str, Any] = {"is_exact": reading.is_exact, "words": len(reading.came_us)}
    if reading.came_us:
        upstream_us = reading.left_us[0] - reading.received_us
        found |= {
            "ttft_ms": (reading.came_us[0] - chat.asked_us - upstream_us) / 1000,
            "asked_us": chat.asked_us,
            "gaps_ms": [round(gap, 3) for gap in reading.added_gaps_ms],
            "delays_ms": [round(delay, 3) for delay in reading.delays_ms],
        }
    if not reading.is_exact:
        found["tail"] = chat.tail()
    return found


class ChatClients:
    """All chats, in groups that are opened and closed together."""

    def __init__(self) -> None:
        self._groups: dict[str, list[Chat]] = {}
        self._asked: dict[str, int] = {}

    async def open(self, group: str, dialect: str, port: int, key: str, count: int) -> dict[str, Any]:
        """Open `count` connections that wait for questions."""
        chats = self._groups[group] = [Chat(DIALECTS[dialect]()) for _ in range(count)]
        self._asked[group] = 0
        places = asyncio.Semaphore(OPEN_AT_ONCE)
        loop = asyncio.get_running_loop()

        async def open_one(chat: Chat) -> None:
            async with places:
                await loop.create_connection(lambda: chat, "127.0.0.1", port)
                await chat.open(port, key)

        async with asyncio.timeout(OPEN_S), asyncio.TaskGroup() as tasks:
            for chat in chats:
                tasks.create_task(open_one(chat))
        return {"open": len(chats)}

    async def ask(self, group: str, question: str, count: int, per_s: float) -> dict[str, Any]:
        """Put a question on each of the next `count` connections, `per_s` of them a second; 0 is at once."""
        first = self._asked[group]
        began_s = time.monotonic()
        for index, chat in enumerate(self._groups[group][first : first + count]):
            if per_s:
                await asyncio.sleep(max(0.0, began_s + index / per_s - time.monotonic()))
            chat.ask(question)
        self._asked[group] = first + count
        return {"asked": count, "took_s": time.monotonic() - began_s}

    async def one(self, group: str, question: str, timeout_s: float) -> dict[str, Any]:
        """Put a question on the first connection and return the answer's figures."""
        chat = self._groups[group][0]
        chat.ask(question)
        async with asyncio.timeout(timeout_s):
            await chat.ended.wait()
        return _result(chat)

    async def wait(self, group: str, timeout_s: float) -> dict[str, Any]:
        """Wait for the ends of all answers of a group."""
        chats = self._groups[group][: self._asked[group]]
        return {**await all_ended(chats, timeout_s), "lost": sum(chat.is_lost for chat in chats)}

    async def await_first(self, group: str, timeout_s: float) -> dict[str, Any]:
        """Wait until each answer of a group has begun; return how many have."""
        chats = self._groups[group][: self._asked[group]]
        deadline_s = time.monotonic() + timeout_s
        while True:
            begun = sum(FIRST_WORD in chat.raw for chat in chats)
            if begun == len(chats) or time.monotonic() > deadline_s:
                return {"begun": begun}
            await asyncio.sleep(POLL_S)

    async def close(self, group: str, results: bool = True) -> dict[str, Any]:
        """Close a group and return the figures of its answers."""
        chats = self._groups.pop(group, [])
        asked = chats[: self._asked.pop(group, 0)] if results else []
        found = [_result(chat) for chat in asked]
        for chat in chats:
            chat.close()
        return {"answers": found}


def main() -> None:
    clients = ChatClients()
    commands = (clients.open, clients.ask, clients.one, clients.await_first, clients.wait, clients.close)
    uvloop.run(serve_commands({command.__name__: command for command in commands}))


if __name__ == "__main__":
    main()
