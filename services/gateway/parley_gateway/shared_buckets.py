"""Limits that hold whatever becomes of Redis: its buckets while it answers, and a share of our own else."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from parley_contracts.errors import ParleyError
from parley_limits import Buckets, MemoryBuckets, RedisBuckets, RedisLedger, Take, Verdict, open_limits
from parley_limits.gateway_count import RedisGatewayCount
from parley_messaging import Service
from parley_messaging.circuit import Circuit

from parley_gateway.limits import Limits
from parley_gateway.settings import GatewaySettings
from parley_gateway.shared_ledger import SharedLedger
from parley_gateway.spending import Spending
from parley_gateway.turn_quotas import TurnQuotas

log = logging.getLogger("parley.gateway")

# Any failure counts, also one that cost no time: the gateway has buckets of its own at once.
ANY_FAILURE = 0.0
COUNT_EVERY_S = 5.0
COUNTS_KEPT = 12
"""Of a minute: the greatest of them counts."""
UNKNOWN_GATEWAYS = 2
"""How many gateways there are where nobody has told: half of each limit is this one's."""


class GatewayCount(Protocol):
    """Tells how many gateways there are."""

    async def announce(self, name: str) -> int:
        """Say that the gateway of this name runs; return how many do. ParleyError when that is not known."""
        ...


class SharedBuckets:
    """Falls back at once, never open, and asks Redis again when its circuit lets a call through."""

    def __init__(self, shared: Buckets, circuit: Circuit, count: GatewayCount, *, name: str) -> None:
        self._shared = shared
        self._circuit = circuit
        self._count = count
        self._name = name
        self.own = MemoryBuckets(share=lambda: 1 / self.gateways)
        self._is_shared = True
        self.gateways = UNKNOWN_GATEWAYS
        self.fallbacks = 0
        # One that is restarting, or Redis emptied, hides gateways for some seconds; so does a start.
        self._counts: deque[int] = deque((UNKNOWN_GATEWAYS,), maxlen=COUNTS_KEPT)

    async def take(self, takes: Sequence[Take]) -> Verdict:
        """Take from all of these buckets, or from none."""
        try:
            with self._circuit.passing(ANY_FAILURE):
                verdict = await self._shared.take(takes)
        except ParleyError:
            self._note(is_shared=False)
            self.fallbacks += 1
            return await self.own.take(takes)
        self._note(is_shared=True)
        return verdict

    def _note(self, *, is_shared: bool) -> None:
        if is_shared != self._is_shared:
            self._is_shared = is_shared
            log.warning("limits are shared again" if is_shared else "limits are not shared: redis is away")

    async def run(self) -> None:
        """Count gateways until cancelled; the last count known stays."""
        while True:
            with suppress(ParleyError):
                self._counts.append(max(1, await self._count.announce(self._name)))
                self.gateways = max(self._counts)
            await asyncio.sleep(COUNT_EVERY_S)


async def enter_limits(service: Service, settings: GatewaySettings) -> Limits:
    """Return the limits of a gateway process, which go on until it stops."""
    redis = await service.enter(open_limits(settings.redis_url, settings.limits_redis_url))
    circuit = service.circuits.to("limits")
    buckets = SharedBuckets(
        RedisBuckets(redis),
        circuit,
        RedisGatewayCount(redis),
        name=settings.instance,
    )
    service.spawn(buckets.run)
    ledger = SharedLedger(RedisLedger(redis), circuit, buckets.own, share=lambda: 1 / buckets.gateways)
    quotas = TurnQuotas(service.bus, ledger, Spending(settings), service.circuits.to("accounts-usage"))
    limits = Limits(settings, buckets, quotas)
    _export(service, limits, buckets)
    return limits


def _export(service: Service, limits: Limits, buckets: SharedBuckets) -> None:
    """Export what limits refused, and how often they were this gateway's own."""
    service.measures.counter(
        "parley_limits_refused",
        "Requests and turns refused by a limit, by its name.",
        lambda: {name: float(count) for name, count in limits.refused.items()},
        label="limit",
    )
    service.measures.counter(
        "parley_limits_unshared",
        "Askings for which Redis was away, so that this gateway went by its share alone.",
        lambda: buckets.fallbacks,
    )
    service.measures.gauge(
        "parley_limits_gateways",
        "Gateways that share the limits, as far as is known.",
        lambda: buckets.gateways,
    )
