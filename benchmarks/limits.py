"""What authentication, authorisation and limits add to a request or turn: `python -m benchmarks.limits`.

In one process and in pairs, a step without them and the same with them, so that a slow machine is slow for
both. It runs a redis-server of its own, unless it is told of one.
"""

import argparse
import asyncio
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from parley_cli.supervisor.brokers import redis_argv
from parley_contracts.credentials import AccessClaims, PublishedKeys
from parley_contracts.policy import Permission, Role
from parley_contracts.usage import Amount, ScopeTotal
from parley_gateway.limits import Asking, Kind, Limits
from parley_gateway.principal import Principal
from parley_gateway.settings import GatewaySettings
from parley_identity import AccessTokenVerifier, published, sign_access_token
from parley_limits import (
    Claim,
    Most,
    Outcome,
    Quota,
    RedisBuckets,
    RedisLedger,
    Take,
    open_limits,
    parse_rate,
)
from redis.asyncio import Redis

GENEROUS = "100000000/60"
"""Never used up, so that each step is let through."""
QUOTA = Quota("user:ada", "2026-11-21", Most(turns=10**9))
START_S = 10.0

Step = Callable[[], Awaitable[None]]


@contextmanager
def running_redis() -> Generator[str]:
    """Run a redis-server on a free port while the body runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(redis_argv(Path(folder), port), stdout=subprocess.DEVNULL) as server,
    ):
        try:
            yield f"redis://127.0.0.1:{port}"
        finally:
            server.terminate()


async def until_it_answers(redis: Redis) -> None:
    async with asyncio.timeout(START_S):
        while True:
            try:
                await redis.get("lim:none")
                return
            except Exception:  # noqa: BLE001 - it is not there yet
                await asyncio.sleep(0.05)


def new_token() -> tuple[str, AccessTokenVerifier]:
    """Return an access token and what verifies it."""
    key, now_s = Ed25519PrivateKey.generate(), time.time()
    claims = AccessClaims(
        iss="parley",
        aud="parley",
        sub="ada",
        role=Role.MEMBER,
        sid="s",
        jti="j",
        iat=now_s,
        nbf=now_s,
        exp=now_s + 600,
    )
    keys = PublishedKeys(issuer="parley", keys=(published("k", key.public_key()),))
    return sign_access_token(claims, "k", key), AccessTokenVerifier(keys)


async def took_us(step: Step) -> float:
    began_s = time.perf_counter()
    await step()
    return (time.perf_counter() - began_s) * 1e6


async def compare(name: str, without: Step, with_it: Step, count: int) -> None:
    """Print what a step adds, pair by pair."""
    for _ in range(50):
        await with_it()
    added = [-(await took_us(without)) + await took_us(with_it) for _ in range(count)]
    hundredths = statistics.quantiles(added, n=100)
    print(f"{name:46} p50 {statistics.median(added):8.1f} us   p99 {hundredths[98]:8.1f} us")


async def nothing() -> None:
    await asyncio.sleep(0)


async def measure(redis: Redis, count: int) -> None:
    token, verifier = new_token()
    settings = GatewaySettings(gateway_limit_reads=GENEROUS, gateway_limit_host=GENEROUS)
    limits, ledger = Limits(settings, RedisBuckets(redis)), RedisLedger(redis)
    asking, number = Asking(limits.host("203.0.113.9")), 0
    rate = parse_rate(GENEROUS)
    takes = () if rate is None else (Take("turns", "ada", rate),)

    def identify() -> Principal:
        claims = verifier.verify(token)
        principal = Principal(claims.sub, claims.role, session_id=claims.sid)
        principal.require(Permission.TURNS_WRITE)
        return principal

    async def authenticated() -> None:
        identify()
        await nothing()

    async def request() -> None:
        await limits.ask(asking, identify(), Kind.READS)
        await nothing()

    async def turn() -> None:
        nonlocal number
        number += 1
        identify()
        claim = Claim(f"turn-{number}", Amount(turns=1), (QUOTA,), 60_000)
        if (await ledger.reserve(takes, claim)).outcome is not Outcome.RESERVED:
            raise RuntimeError("a turn was refused")
        await nothing()

    await ledger.begin(())
    await ledger.load([ScopeTotal(scope=QUOTA.scope, period=QUOTA.period, spent=Amount(), version=0)])
    await compare("authentication and authorisation", nothing, authenticated, count)
    await compare("with limits, a request", nothing, request, count)
    await compare("with limits and quotas, a turn over a socket", nothing, turn, count)


async def run(redis_url: str, count: int) -> None:
    async with open_limits(redis_url, None) as redis:
        await until_it_answers(redis)
        await measure(redis, count)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="pairs")
    parser.add_argument("--redis-url", help="a server that may be written to, in place of one of its own")
    arguments = parser.parse_args()
    if arguments.redis_url:
        uvloop.run(run(arguments.redis_url, arguments.count))
        return
    with running_redis() as redis_url:
        uvloop.run(run(redis_url, arguments.count))


if __name__ == "__main__":
    main()
