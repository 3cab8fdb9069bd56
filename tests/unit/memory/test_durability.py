"""What was acknowledged is there after the process was killed."""

import asyncio
import sys
from pathlib import Path

from parley_memory.tables import STORE

from tests.unit.memory.stored_turns import open_memory

WRITER = """
import asyncio, sys
from pathlib import Path
from parley_memory.tables import STORE
from tests.unit.memory.stored_turns import open_memory, store_turn

async def write():
    async with open_memory(STORE.url(None, Path(sys.argv[1]))) as memory:
        for number in range(1_000_000):
            await memory.handlers.store_turn(store_turn(number))
            print(number, flush=True)

asyncio.run(write())
"""
ROOT = Path(__file__).parents[3]


async def test_a_killed_process_loses_no_acknowledged_turn(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(tmp_path), stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while int(await process.stdout.readline()) < 10:
            continue
        process.kill()
        acknowledged = 11 + len((await process.stdout.read()).split())
        await process.wait()

    async with open_memory(STORE.url(None, tmp_path)) as memory:
        texts = [message.text for message in await memory.messages("c1")]
        await memory.outbox.drain()

    stored = len(texts) // 2
    # The turn that was being stored when the process was killed may be there as well.
    assert acknowledged <= stored <= acknowledged + 1
    assert texts == [f"{part} {number}" for number in range(stored) for part in ("question", "answer")]
    assert len(memory.bus.published) == stored
