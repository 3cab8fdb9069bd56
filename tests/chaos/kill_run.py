"""One run: turns in every phase, a kill in the middle, a restart at once, and what became of them all."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from parley_gateway.ids import OwnedIds

from tests.chaos.kill_report import KillRow, row_of
from tests.chaos.ledger import Shelf, entries
from tests.chaos.roaming_client import RoamingClient
from tests.chaos.scale import scaled
from tests.chaos.turn_record import TurnRecords, open_turn_records
from tests.chaos.upstream import QUICK, SIGNED, SignedModel
from tests.chaos.viewed import Viewed
from tests.fakes.ollama_server import OllamaFake
from tests.integration.waiting import eventually

TURNS = scaled(10, 100)
"""How many turns are open when the kill comes: most in mid-answer, some about to end, some just accepted."""

CLIENTS = scaled(4, 8)
BEGUN_S = scaled(30.0, 90.0)
OVER_S = scaled(60.0, 120.0)
LONG, SHORT = scaled(90, 120), scaled(45, 60)
SHARES = (0.15, 0.35)
"""How much of the long answers is seen when the kill comes; drawn from a seeded source."""


@dataclass(frozen=True)
class Site:
    """A running stack as clients and the ledger reach it."""

    urls: Sequence[str]
    headers: dict[str, str]
    nats_url: str
    nkey: Path | None
    ids: OwnedIds


@dataclass
class KillRun:
    """The turns of one scenario, and everybody who watches them."""

    name: str
    site: Site
    fake: OllamaFake
    random: Random
    collections: list[str]
    turns: dict[str, tuple[Viewed, int]] = field(default_factory=dict[str, tuple[Viewed, int]])
    clients: list[RoamingClient] = field(default_factory=list[RoamingClient])

    @asynccontextmanager
    async def connected(self, *, is_at_first: bool) -> AsyncGenerator[None]:
        """Keep the clients on sockets while the body runs: all begin at the first gateway, or on both."""
        urls = self.site.urls
        for index in range(CLIENTS):
            first = 0 if is_at_first else index % len(urls)
            order = [*urls[first:], *urls[:first]]
            self.clients.append(RoamingClient(order, self.site.headers, self.random))
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(client.run()) for client in self.clients]
            try:
                yield
            finally:
                for task in running:
                    task.cancel()

    async def begin(self, amount: int, model: SignedModel, **fields: object) -> list[Viewed]:
        """Start turns, spread over the clients."""
        begun: list[Viewed] = []
        for _ in range(amount):
            turn_id = f"{self.name}-{len(self.turns)}"
            start = {
                "type": "start_turn",
                "turn_id": turn_id,
                "text": f"When is the lamp of the lighthouse lit? ({turn_id})",
                "model": model.id,
                "collections": self.collections,
                **fields,
            }
            turn = Viewed(turn_id, start)
            self.turns[turn_id] = turn, model.count
            await self.clients[len(self.turns) % CLIENTS].begin(turn)
            begun.append(turn)
        return begun

    async def until(self, holds: Callable[[], bool], *, within_s: float) -> None:
        """Wait for a condition on what the clients have seen."""

        async def does() -> bool:
            return holds()

        await eventually(does, within_s=within_s)

    async def bring_under_way(self) -> str:
        """Return, with a conversation to go on with, once turns stand in every phase."""
        [first] = await self.begin(1, QUICK)
        await self.until(lambda: first.is_over, within_s=BEGUN_S)
        share = self.random.uniform(*SHARES)
        fifth = max(1, TURNS // 5)
        long = await self.begin(TURNS - 2 * fifth, SIGNED[LONG])
        await self.begin(fifth, SIGNED[round(share * LONG / 5) * 5])
        seen = len(long) * LONG * share
        await self.until(lambda: sum(turn.words for turn in long) >= seen, within_s=BEGUN_S)
        young = await self.begin(fifth, SIGNED[SHORT], conversation_id=first.conversation_id)
        await self.until(lambda: any(turn.is_accepted for turn in young), within_s=BEGUN_S)
        return first.conversation_id

    async def finish(self) -> None:
        """Wait for the end of every turn; what has none by then shows in the row."""
        try:
            await self.until(lambda: all(turn.is_over for turn, _ in self.turns.values()), within_s=OVER_S)
        except TimeoutError:
            return


async def run_kill(
    run: KillRun,
    *,
    is_at_first: bool,
    kill: Callable[[TurnRecords], Awaitable[set[str]]],
    revive: Callable[[], Awaitable[None]],
) -> tuple[KillRow, list[str]]:
    """Return the row of a scenario and its faults. `kill` returns the unique names of what it killed."""
    began_s = asyncio.get_running_loop().time()
    async with open_turn_records(run.site.nats_url, run.site.nkey) as records:
        await records.mark()
        async with run.connected(is_at_first=is_at_first):
            conversation_id = await run.bring_under_way()
            open_at_kill = {turn_id for turn_id, (turn, _) in run.turns.items() if not turn.is_over}
            killed = await kill(records)
            await run.begin(max(1, TURNS // 5), SIGNED[SHORT], conversation_id=conversation_id)
            await revive()
            await run.finish()
        took_s = asyncio.get_running_loop().time() - began_s
        faults: list[str] = []
        try:
            await records.settled()
        except TimeoutError:
            faults.append("jobs are left in the queues")
        shelf = Shelf(run.site.urls[0], run.site.headers)
        await shelf.read([turn for turn, _ in run.turns.values()])
        found = entries(
            run.turns, await records.read(), run.fake.calls, shelf, killed=killed, ids=run.site.ids
        )
    row = row_of(
        run.name,
        found,
        open_at_kill=open_at_kill,
        reconnects=sum(client.reconnects for client in run.clients),
        took_s=took_s,
    )
    return row, [*faults, *(fault for entry in found for fault in entry.faults())]
