"""`python -m benchmarks.embedding [--quick]`: vectors and their price, beside sentence-transformers.

Both engines run on one thread on the same core, in turn. Then the running service: 64 questions at once
against one after another, and what a remembered vector costs.
"""

import argparse
import asyncio
import base64
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from numpy.typing import NDArray
from parley_contracts import subjects
from parley_contracts.npu import Embed, Embeddings
from parley_messaging.nats_bus import NatsBus
from parley_npu.model_files import ModelFiles

from benchmarks.cranfield_data import read_cranfield
from benchmarks.figures import median, spread
from benchmarks.peer_installs import PeerMissingError, installed
from benchmarks.processes import BenchProcess, module, running
from benchmarks.retrieval_stack import keep
from benchmarks.table import print_table, tell
from tests.conftest import fetched_model
from tests.integration.stack import Stack, open_stack

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "shared" / "data" / "cranfield"
PEER, OURS = "sentence-transformers", "parley"
TEXTS, TOGETHER = 500, 64
ASK_S = 60.0
LEGEND = """
texts/s     500 texts (Cranfield's queries and abstracts) as one request; median and best of the runs in turn
p50, p99    one query at a time, ms
ratio       ours to sentence-transformers', by medians
at once     64 questions sent together through the running service, against one after another; no cache
remembered  one question at a time through the running service: computed, known here, known to Redis"""


@dataclass
class Samples:
    """What one engine took."""

    texts_a_s: list[float] = field(default_factory=list[float])
    single_ms: list[float] = field(default_factory=list[float])

    def row(self, name: str) -> dict[str, Any]:
        single = spread(self.single_ms)
        return {
            "engine": name,
            "texts/s": round(median(self.texts_a_s), 1),
            "best": round(max(self.texts_a_s), 1),
            "p50": single["p50"],
            "p99": single["p99"],
        }


def real_texts(folder: Path) -> tuple[list[str], list[str]]:
    """Return 500 texts, long and short, and the short ones among them."""
    cranfield = read_cranfield(folder)
    queries = list(cranfield.queries.values())
    return [*queries, *cranfield.documents.values()][:TEXTS], queries


@asynccontextmanager
async def engines(files: ModelFiles, folder: Path) -> AsyncGenerator[dict[str, BenchProcess]]:
    """Start both on the last core; without the peer when it cannot be installed."""
    pinned = ("taskset", "-c", str((os.cpu_count() or 1) - 1))
    commands = {OURS: module("embedding_worker", str(files.directory))}
    try:
        peer = await installed(PEER, by_pip=True)
        commands[PEER] = (peer.program("python"), str(HERE / "sentence_worker.py"))
    except PeerMissingError as error:
        print(f"!! {PEER} is left out: {error}", flush=True)
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(
                running(name, (*pinned, *command), os.environ, folder, takes_commands=True)
            )
            for name, command in commands.items()
        }


async def compare(files: ModelFiles, texts: list[str], queries: list[str], *, runs: int) -> dict[str, Any]:
    """Run the engines in turn, and compare their vectors."""
    samples: dict[str, Samples] = {}
    vectors: dict[str, NDArray[np.float32]] = {}
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as name:
        async with engines(files, Path(name)) as processes:
            for process in processes.values():
                await process.ask("one_by_one", texts=queries[:5])
            for number in range(runs):
                tell(f"run {number + 1} of {runs}")
                for engine, process in processes.items():
                    one = samples.setdefault(engine, Samples())
                    answer = await process.ask("embed", texts=texts)
                    one.texts_a_s.append(len(texts) / answer["seconds"])
                    one.single_ms += (await process.ask("one_by_one", texts=queries[:50]))["ms"]
                    raw = base64.b64decode(answer["vectors"])
                    vectors[engine] = np.frombuffer(raw, "<f4").reshape(len(texts), -1)
    rows = [one.row(engine) for engine, one in samples.items()]
    print_table("on one core", rows)
    result: dict[str, Any] = {"engines": rows}
    if PEER in samples:
        cosines = (vectors[OURS] * vectors[PEER]).sum(axis=1)
        result["against_peer"] = {
            "texts/s ratio": round(median(samples[OURS].texts_a_s) / median(samples[PEER].texts_a_s), 2),
            "p50 ratio": round(median(samples[PEER].single_ms) / median(samples[OURS].single_ms), 2),
            "least cosine": round(float(cosines.min()), 7),
            "mean cosine": round(float(cosines.mean()), 7),
        }
        print_table(f"{OURS} against {PEER}, {len(texts)} texts", [result["against_peer"]])
    return result


class Client:
    """Asks the running service for vectors."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus
        self.took_ms: list[float] = []
        self.computed_by: set[str | None] = set()

    async def ask(self, text: str) -> None:
        began_s = time.perf_counter()
        reply = await self._bus.request(subjects.NPU_EMBED, Embed(texts=(text,)), Embeddings, timeout_s=ASK_S)
        self.took_ms.append((time.perf_counter() - began_s) * 1e3)
        self.computed_by.add(reply.computed_by)

    async def one_after_another(self, texts: Sequence[str]) -> None:
        for text in texts:
            await self.ask(text)

    async def at_once(self, texts: Sequence[str]) -> None:
        await asyncio.gather(*(self.ask(text) for text in texts))


@asynccontextmanager
async def service(files: ModelFiles, *, cache_days: int) -> AsyncGenerator[tuple[Stack, NatsBus]]:
    """Run npu with its brokers, and a client of the bus."""
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as name:
        environment = {"PARLEY_NPU_CACHE_DAYS": str(cache_days)}
        async with open_stack(
            Path(name), model_dir=files.directory, gateways=0, services=("npu",), environment=environment
        ) as stack:
            bus = NatsBus(stack.nats_url, name="benchmark", grace_s=2, access=stack.operator_access)
            await bus.connect()
            try:
                yield stack, bus
            finally:
                await bus.close()


async def joining(files: ModelFiles, queries: list[str], *, runs: int) -> dict[str, Any]:
    """Ask 64 questions one after another and at once, in turn."""
    took_s: dict[str, list[float]] = {"one after another": [], "at once": []}
    latencies_ms: dict[str, list[float]] = {name: [] for name in took_s}
    async with service(files, cache_days=0) as (_, bus):
        await Client(bus).one_after_another(queries[:5])
        for _ in range(runs):
            for name, samples in took_s.items():
                client = Client(bus)
                asking: Callable[[Sequence[str]], Awaitable[None]] = (
                    client.at_once if name == "at once" else client.one_after_another
                )
                began_s = time.perf_counter()
                await asking(queries[:TOGETHER])
                samples.append(time.perf_counter() - began_s)
                latencies_ms[name] += client.took_ms
    rows = [
        {
            "64 questions": name,
            "took ms": round(median(samples) * 1e3, 1),
            "questions/s": round(TOGETHER / median(samples)),
            "p50": spread(latencies_ms[name])["p50"],
            "p99": spread(latencies_ms[name])["p99"],
        }
        for name, samples in took_s.items()
    ]
    print_table("joined by the running service, ms a question", rows)
    return {"rows": rows}


async def remembering(files: ModelFiles, queries: list[str]) -> dict[str, Any]:
    """Ask questions that are new, then again, then of a service that has just started."""
    rows: list[dict[str, Any]] = []
    async with service(files, cache_days=1) as (stack, bus):
        await Client(bus).one_after_another(["warm up", "once more", "and again"])

        async def ask(name: str) -> None:
            client = Client(bus)
            await client.one_after_another(queries)
            times = spread(client.took_ms)
            by = ", ".join(sorted(map(str, client.computed_by)))
            rows.append({"vectors": name, "p50": times["p50"], "p99": times["p99"], "computed by": by})

        await ask("computed")
        await ask("known to the process")
        # What waits to be written to Redis is written at the end.
        await stack.terminate("npu")
        await stack.start("npu")
        await Client(bus).one_after_another(["warm up", "once more", "and again"])
        await ask("known to Redis")
    print_table("remembered, ms a question through the bus", rows)
    return {"rows": rows}


async def measure(data: Path, *, is_quick: bool) -> dict[str, Any]:
    files = await asyncio.to_thread(fetched_model)
    texts, queries = real_texts(data)
    runs = 2 if is_quick else 7
    compared = await compare(files, texts[:: 5 if is_quick else 1], queries, runs=runs)
    joined = await joining(files, queries, runs=runs)
    remembered = await remembering(files, queries[: 50 if is_quick else 200])
    print(LEGEND)
    return {"one_core": compared, "joined": joined, "remembered": remembered}


def main() -> None:
    """Measure, print tables and keep them as JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks.embedding", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer texts and runs")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the Cranfield files")
    arguments = parser.parse_args()
    if not (arguments.data / "cran.qry").exists():
        sys.exit(f"{arguments.data} has no Cranfield files; --data says where they are")
    result = uvloop.run(measure(arguments.data, is_quick=arguments.quick))
    print(f"kept in {keep('embedding', result)}")


if __name__ == "__main__":
    main()
