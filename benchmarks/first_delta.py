"""Time to the first piece of an answer that the stack adds to its upstream, at one stream.

Turns without retrieval through gateway, bus and language-model worker take turns with calls that go to the
same fake upstream directly; both stop the clock when the first piece of text has arrived.
"""

import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection

from benchmarks.processes import module, running
from benchmarks.table import print_table
from tests.integration.stack import Stack, open_stack

MODEL = "paced:ttft=20,gap=2,count=4"
QUESTION = "What does a relay do?"
TURN_S = 20.0
STAGES = ("claimed_ms", "context_ready_ms", "first_delta_ms")
"""As the gateway stamps them, counted from when it accepted the turn (whole milliseconds)."""


async def _direct_ms(client: httpx.AsyncClient) -> float:
    """Return the time to the first piece from the upstream itself."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": QUESTION}], "stream": True}
    began_s, first_s = time.perf_counter(), 0.0
    async with client.stream("POST", "/api/chat", json=body) as response:
        async for line in response.aiter_lines():
            if not first_s and json.loads(line)["message"]["content"]:
                first_s = time.perf_counter()
    return (first_s - began_s) * 1000


async def _through_ms(socket: ClientConnection) -> tuple[float, dict[str, float]]:
    """Return the time from `start_turn` to the first `text_delta`, and what the turn says of its timings."""
    frame: dict[str, Any] = {
        "type": "start_turn",
        "text": QUESTION,
        "collections": [],
        "model": f"ollama/{MODEL}",
    }
    began_s, first_s = time.perf_counter(), 0.0
    await socket.send(json.dumps(frame))
    async with asyncio.timeout(TURN_S):
        while True:
            event = json.loads(await socket.recv())
            if event["type"] == "text_delta" and not first_s:
                first_s = time.perf_counter()
            elif event["type"] == "turn_completed":
                return (first_s - began_s) * 1000, event["timings"]
            elif event["type"] in ("turn_failed", "error"):
                raise RuntimeError(f"the turn failed: {event}")


def _percentile(values: list[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


async def _samples(stack: Stack, upstream: str, turns: int) -> dict[str, list[float]]:
    """Return the times of direct calls, of turns, and of the stages that turns tell of, in milliseconds."""
    found: dict[str, list[float]] = {"direct": [], "through": [], **{stage: [] for stage in STAGES}}
    async with httpx.AsyncClient(base_url=upstream, trust_env=False) as client, stack.chat() as chat:
        # The first ones open connections and load what is loaded once.
        for index in range(-10, turns):
            direct_ms = await _direct_ms(client)
            through_ms, timings = await _through_ms(chat.connection)
            if index >= 0:
                found["direct"].append(direct_ms)
                found["through"].append(through_ms)
                for stage in STAGES:
                    found[stage].append(timings[stage])
    return found


def _row(what: str, values: list[float]) -> dict[str, Any]:
    return {
        "time, ms": what,
        **{f"p{percent}": round(_percentile(values, percent), 2) for percent in (50, 90, 99)},
        "max": round(max(values), 2),
    }


async def measure(*, is_quick: bool) -> dict[str, Any]:
    """Run pairs of a direct call and a turn; what is added is the turn's time less the median call's."""
    turns = 100 if is_quick else 500
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as name:
        folder = Path(name)
        async with running(
            "upstream", module("upstream", "--model", MODEL), os.environ, folder, takes_commands=True
        ) as fake:
            url: str = fake.greeting["url"]
            async with open_stack(
                folder / "stack",
                model_dir=folder,
                services=("llm", "memory"),
                environment={"OLLAMA_HOST": url},
            ) as stack:
                found = await _samples(stack, url, turns)
    base_ms = median(found["direct"])
    found["added"] = [one_ms - base_ms for one_ms in found["through"]]
    rows = [_row(what, values) for what, values in found.items()]
    print_table(f"first delta: {turns} turns without retrieval, 1 stream", rows)
    return {"model": MODEL, "rows": rows, "samples_ms": found}
