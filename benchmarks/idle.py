"""Memory: what an idle socket costs, an idle gateway, and the whole stack without a browser's Chromium."""

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.processes import module, running, tree_memory_kib
from benchmarks.table import print_table
from tests.conftest import fetched_model
from tests.integration.stack import WORKERS, open_stack

SOCKETS = 1000
SETTLE_S = 2.0
MIB_KIB = 1024


async def measure(*, is_quick: bool) -> dict[str, Any]:
    """Open idle, authenticated sockets on a whole stack; memory before and after."""
    del is_quick  # it is over in seconds
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as name:
        folder = Path(name)
        clients = running("clients", module("chat_clients"), os.environ, folder, takes_commands=True)
        stacks = open_stack(folder / "stack", model_dir=fetched_model().directory, services=WORKERS)
        async with clients as chats, stacks as stack:
            await asyncio.sleep(SETTLE_S)
            pids = {part: process.pid for part, process in stack.processes.items()}
            idle = {part: tree_memory_kib(pid) for part, pid in pids.items()}
            port = int(stack.url().rpartition(":")[2])
            await chats.ask(
                "open", group="idle", dialect="parley", port=port, key=stack.owner_key, count=SOCKETS
            )
            await asyncio.sleep(SETTLE_S)
            full_kib = tree_memory_kib(pids["gateway-0"])["rss"]
            await chats.ask("close", group="idle", results=False)
    totals = {kind: sum(kib[kind] for kib in idle.values()) for kind in ("rss", "pss")}
    rows: list[dict[str, Any]] = [
        {"process": part, **{f"{kind.upper()} MiB": round(kib[kind] / MIB_KIB, 1) for kind in totals}}
        for part, kib in {**idle, "all": totals}.items()
    ]
    socket_kib = (full_kib - idle["gateway-0"]["rss"]) / SOCKETS
    print_table(
        f"idle: memory of a stack at rest; {SOCKETS} idle sockets more cost {socket_kib:.1f} KiB each", rows
    )
    return {
        "socket_kib": socket_kib,
        "gateway_mib": idle["gateway-0"]["rss"] / MIB_KIB,
        "stack_mib": totals["rss"] / MIB_KIB,
        "rows": rows,
    }
