"""What claims cost a request: `python -m benchmarks.claims`.

In one process, in turns, so that a slow machine is slow for all: a request without claims and with remembered
ones, on the bus in memory and on a nats-server when one is given; then signing and verifying alone.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import uvloop
from parley_contracts import subjects
from parley_contracts.claims import Acting, ClaimsKeys
from parley_contracts.memory import ReadTurn, StoredTurn
from parley_contracts.policy import Role
from parley_contracts.turns import TurnOutcome
from parley_identity import create_claims_keys
from parley_identity.bus_claims import Signer, Verifier
from parley_messaging.acting import acting_for
from parley_messaging.bus import Bus
from parley_messaging.claims_desk import ClaimsDesk
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.nats_bus import NatsBus

ADA = Acting("ada", Role.MEMBER)
REQUEST = ReadTurn(owner_id="ada", turn_id="t1")
ANSWER = StoredTurn(conversation_id="c1", outcome=TurnOutcome.COMPLETED, text="A short answer.")
BARE = f"{subjects.PREFIX}.memory.bare"
"""Where nothing is checked; of the same length as the other, about."""
ROUNDS = 30


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody who asks himself."""

    bus: Bus
    subject: str

    async def begin(self) -> None:
        """Begin to answer."""

        async def read(_: ReadTurn) -> StoredTurn:
            return ANSWER

        self.bus.answer(self.subject, ReadTurn, read)
        await self.bus.start()

    async def ask(self) -> None:
        """Ask once."""
        await self.bus.request(self.subject, REQUEST, StoredTurn)


async def timed_us(work: Callable[[], Awaitable[object]], count: int) -> float:
    """Return the mean time of one call in microseconds."""
    began_s = time.perf_counter()
    for _ in range(count):
        await work()
    return (time.perf_counter() - began_s) / count * 1e6


async def compare(name: str, bare: Asked, claimed: Asked, count: int) -> None:
    """Print how long a request takes on both, round by round."""
    without: list[float] = []
    added: list[float] = []
    with acting_for(ADA):
        for one in (bare, claimed):
            await one.begin()
            await timed_us(one.ask, count)
        for _ in range(ROUNDS):
            bare_us = await timed_us(bare.ask, count)
            without.append(bare_us)
            added.append(await timed_us(claimed.ask, count) - bare_us)
    base, more = statistics.median(without), statistics.median(added)
    spread = statistics.quantiles(added, n=10)
    print(
        f"{name:24} {base:8.1f} us without, {more:+6.1f} us with remembered claims "
        f"(tenths {spread[0]:+.1f} to {spread[-1]:+.1f}): {1 + more / base:.3f}x"
    )


def signing_us(work: Callable[[int], object], count: int) -> float:
    """Return the median time of single calls in microseconds."""
    took: list[float] = []
    for number in range(count):
        began_s = time.perf_counter()
        work(number)
        took.append((time.perf_counter() - began_s) * 1e6)
    return statistics.median(took)


def alone(signer: Signer, verifier: Verifier, count: int) -> None:
    """Print what one signature and one verification take, and their remembered ones."""
    texts = [signer.sign_lasting(Acting(f"owner-{n}", Role.MEMBER), ("memory",)) for n in range(count)]
    text = signer.sign(ADA, "memory")
    rows = {
        "signed": signing_us(lambda n: signer.sign_lasting(ADA, ("memory",)), count),
        "signed, remembered": signing_us(lambda n: signer.sign(ADA, "memory"), count),
        "verified": signing_us(lambda n: verifier.verify(texts[n]), count),
        "verified, remembered": signing_us(lambda n: verifier.verify(text), count),
    }
    for name, took_us in rows.items():
        print(f"{name:24} {took_us:8.1f} us")
    print(f"{'header':24} {len(text):8d} bytes")


async def run(count: int, nats_url: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        create_claims_keys(path)
        signer, verifier = Signer(path / "claims.key"), Verifier(path / "claims.pub")

        def desk() -> ClaimsDesk:
            return ClaimsDesk(ClaimsKeys(signer, verifier))

        buses: dict[str, tuple[Bus, Bus]] = {"bus in memory": (MemoryBus(), MemoryBus(desk()))}
        if nats_url:
            bare = NatsBus(nats_url, name="bare", grace_s=2)
            buses["nats-server"] = (bare, NatsBus(nats_url, name="claimed", grace_s=2, claims=desk()))
        for name, (bare, claimed) in buses.items():
            await compare(name, Asked(bare, BARE), Asked(claimed, subjects.MEMORY_READ_TURN), count)
            await bare.close()
            await claimed.close()
        alone(signer, verifier, count)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="requests a round, and signatures")
    parser.add_argument("--nats-url", help="also over this server")
    arguments = parser.parse_args()
    uvloop.run(run(arguments.count, arguments.nats_url))


if __name__ == "__main__":
    main()
