"""One upstream, one process of clients, and all contenders beside each other, so that they can take turns."""

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.contenders import ON_REQUEST, OPENERS, Contender
from benchmarks.processes import BenchProcess, module, running, tree_cpu_s
from benchmarks.stamped_text import Pace
from benchmarks.table import tell

WARM_UP_ANSWERS = 16
WARM_UP_S = 60.0


@dataclass(slots=True)
class Rig:
    """What a benchmark of whole answers runs on. `missing` says of a contender why it is not there."""

    upstream: BenchProcess
    clients: BenchProcess
    contenders: dict[str, Contender] = field(default_factory=dict[str, Contender])
    missing: dict[str, str] = field(default_factory=dict[str, str])

    def cpu_s(self, contender: Contender) -> dict[str, float]:
        """Return the CPU time so far of a contender's processes, the upstream and the clients."""
        processes = {**contender.processes, "upstream": self.upstream.pid, "clients": self.clients.pid}
        return {name: tree_cpu_s(pid) for name, pid in processes.items()}

    @asynccontextmanager
    async def chats(self, contender: Contender, group: str, count: int) -> AsyncGenerator[None]:
        """Open connections as a group, and close them."""
        try:
            await self.clients.ask("open", group=group, **contender.address, count=count)
            yield
        finally:
            await self.clients.ask("close", group=group, results=False)

    async def warm_up(self, contender: Contender) -> None:
        """Have a few answers written: first ones load what is loaded once, in each worker process."""
        question = Pace(ttft_ms=20, gap_ms=5, words=20).question
        async with self.chats(contender, "warm-up", WARM_UP_ANSWERS):
            for group in (1, WARM_UP_ANSWERS - 1):
                await self.clients.ask("ask", group="warm-up", question=question, count=group, per_s=20)
                await self.clients.ask("wait", group="warm-up", timeout_s=WARM_UP_S)
            answers = (await self.clients.ask("close", group="warm-up"))["answers"]
        wrong = [one["tail"] for one in answers if not one["is_exact"]]
        if wrong:
            raise RuntimeError(f"{len(wrong)} of {len(answers)} first answers were not exact: {wrong[0]}")

    def fail(self, contender: Contender, what: str, error: BaseException) -> None:
        """Say that a contender failed at something; the others go on."""
        reason = f"{what}: {type(error).__name__}: {error}".strip()[:600]
        print(f"!! {contender.name} failed at {reason}", flush=True)
        self.missing[f"{contender.name}, {what}"] = reason

    @property
    def versions(self) -> dict[str, str]:
        """The versions of the peers."""
        return {name: version for one in self.contenders.values() for name, version in one.versions.items()}


@asynccontextmanager
async def open_rig(folder: Path, names: Sequence[str]) -> AsyncGenerator[Rig]:
    """Start the upstream, the clients and contenders by name; who does not start is left out and named."""
    async with AsyncExitStack() as stack:

        async def run(name: str) -> BenchProcess:
            process = running(name, module(name), os.environ, folder, takes_commands=True)
            return await stack.enter_async_context(process)

        rig = Rig(await run("upstream"), await run("chat_clients"))
        url: str = rig.upstream.greeting["url"]
        for name in names:
            tell(f"starting {name}")
            try:
                contender = await stack.enter_async_context((OPENERS | ON_REQUEST)[name](folder, url))
                await rig.warm_up(contender)
                rig.contenders[name] = contender
            except Exception as error:  # noqa: BLE001 - one that is away must not take the others' rows
                rig.missing[name] = f"{type(error).__name__}: {error}".strip()[:600]
                print(f"!! {name} is left out: {rig.missing[name]}", flush=True)
        yield rig


def spent(before_s: dict[str, float], after_s: dict[str, float], units: float) -> dict[str, float]:
    """Return the CPU time between two readings, in microseconds a unit."""
    return {name: (after_s[name] - before_s[name]) * 1e6 / units for name in after_s}


def own_total(contender: Contender, by_process: dict[str, Any]) -> float:
    """Return the sum of a contender's own processes."""
    return sum(by_process[name] for name in contender.processes)
