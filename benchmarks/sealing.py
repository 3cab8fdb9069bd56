"""What sealing costs an upload and a download: `python -m benchmarks.sealing --nats-url nats://127.0.0.1:4222`.

In one process, in turns, so that a slow machine is slow for all: the same content put and read plain and
sealed, in the store of a nats-server; and the cipher alone.
"""

import argparse
import io
import os
import statistics
import time
from collections.abc import Awaitable, Callable

import uvloop
from parley_contracts.data_keys import ReadDataKey, ToldDataKey
from parley_envelope import DataKeys, SealingReader, new_data_key
from parley_envelope.key_delivery import tell_key
from parley_envelope.sealed_objects import Content, PlainContent, SealedObjects
from parley_envelope.segments import SEGMENT_BYTES
from parley_messaging.bus import ObjectStore
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.nats_bus import NatsBus

SIZES_KIB = (16, 1024, 16 * 1024)
ROUNDS = 12
NAME = ("original", "ada", "bench", "0")
KEY = new_data_key()


async def tell(request: ReadDataKey) -> ToldDataKey:
    """Answer as accounts does."""
    return tell_key(KEY, request.public_key)


async def timed_s(work: Callable[[], Awaitable[object]]) -> float:
    """Return how long one call takes."""
    began_s = time.perf_counter()
    await work()
    return time.perf_counter() - began_s


async def drain(content: Content) -> None:
    """Read all of a content, as a download does."""
    async for _ in content.span(0, content.size_bytes):
        pass


async def compare(name: str, store: ObjectStore, content: bytes) -> None:
    """Print times of one size, plain and sealed in turns, and the median of their ratios."""
    sealed = SealedObjects(store, DataKeys(tell))

    async def put_plain() -> None:
        await store.put("bench/plain", io.BytesIO(content))

    async def put_sealed() -> None:
        await sealed.put("bench/sealed", io.BytesIO(content), NAME)

    async def read_plain() -> None:
        await drain(PlainContent(await store.open("bench/plain")))

    async def read_sealed() -> None:
        await drain(await sealed.open("bench/sealed", NAME))

    for what, plain, other in (("put", put_plain, put_sealed), ("read", read_plain, read_sealed)):
        await plain()
        await other()
        pairs = [(await timed_s(plain), await timed_s(other)) for _ in range(ROUNDS)]
        ratios = [sealed_s / plain_s for plain_s, sealed_s in pairs]
        plain_ms = statistics.median(pair[0] for pair in pairs) * 1000
        sealed_ms = statistics.median(pair[1] for pair in pairs) * 1000
        print(
            f"{name:8} {what:5} {len(content) // 1024:6} KiB"
            f"  plain {plain_ms:8.2f} ms  sealed {sealed_ms:8.2f} ms"
            f"  ratio {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        )
    for key in ("bench/plain", "bench/sealed"):
        await store.delete(key)


def cipher_alone() -> None:
    """Print how fast content is sealed without a store."""
    content = bytes(64 * 1024 * 1024)
    reader = SealingReader(io.BytesIO(content), KEY, NAME)
    buffer = bytearray(2 * SEGMENT_BYTES)
    began_s = time.perf_counter()
    while reader.readinto(buffer):
        pass
    took_s = time.perf_counter() - began_s
    print(f"sealing alone: {len(content) / took_s / 1e6:,.0f} MB/s")


async def measure(nats_url: str | None) -> None:
    """Measure on a nats-server, or in memory when none is named."""
    cipher_alone()
    bus = NatsBus(nats_url, name="bench", grace_s=2) if nats_url else MemoryBus()
    await bus.start()
    try:
        for size_kib in SIZES_KIB:
            await compare("nats" if nats_url else "memory", bus.objects, os.urandom(size_kib * 1024))
    finally:
        await bus.close()


def main() -> None:
    """Read the command line and measure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--nats-url", help="a nats-server with JetStream; without it the store is in memory")
    uvloop.run(measure(options.parse_args().nats_url))


if __name__ == "__main__":
    main()
