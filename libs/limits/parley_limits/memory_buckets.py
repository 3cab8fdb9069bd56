"""Buckets of one process: in tests, and where the shared ones are away."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from parley_limits.rates import Rate, Take, Verdict, judged

MOST_BUCKETS = 50_000
"""Beyond it the bucket that was asked longest ago is forgotten, and is a full one again."""


def _now_us() -> int:
    return time.monotonic_ns() // 1000


def _whole() -> float:
    return 1.0


class MemoryBuckets:
    """Each bucket is the time at which it is full. `share` says how much of each limit is this process's."""

    def __init__(self, *, share: Callable[[], float] = _whole, now_us: Callable[[], int] = _now_us) -> None:
        self._share = share
        self._now_us = now_us
        self._full_us: OrderedDict[tuple[str, str], int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_us)

    async def take(self, takes: Sequence[Take]) -> Verdict:
        """Take from all of these buckets, or from none."""
        now_us, share = self._now_us(), self._share()
        rates = [take.rate.scaled(share) if share < 1 else take.rate for take in takes]
        before = [self._until_us(take, rate, now_us) for take, rate in zip(takes, rates, strict=True)]
        after = [
            _after_us(take, rate, until_us) for take, rate, until_us in zip(takes, rates, before, strict=True)
        ]
        waits = [
            0 if take.is_owed else until_us - rate.window_us
            for take, rate, until_us in zip(takes, rates, after, strict=True)
        ]
        is_refused = max(waits, default=0) > 0
        if not is_refused:
            for take, until_us in zip(takes, after, strict=True):
                self._keep((take.name, take.key), now_us + until_us)
        shown = [_of_rate(take, rate) for take, rate in zip(takes, rates, strict=True)]
        return judged(shown, waits, before if is_refused else after)

    def _until_us(self, take: Take, rate: Rate, now_us: int) -> int:
        """Return in how many microseconds a bucket is full."""
        full_us = self._full_us.get((take.name, take.key), now_us)
        return min(max(0, full_us - now_us), rate.window_us)

    def _keep(self, name: tuple[str, str], full_us: int) -> None:
        self._full_us[name] = full_us
        self._full_us.move_to_end(name)
        if len(self._full_us) > MOST_BUCKETS:
            self._full_us.popitem(last=False)


def _after_us(take: Take, rate: Rate, until_us: int) -> int:
    wanted_us = until_us + take.cost * rate.token_us
    return min(wanted_us, rate.window_us) if take.is_owed else wanted_us


def _of_rate(take: Take, rate: Rate) -> Take:
    return take if rate is take.rate else Take(take.name, take.key, rate, take.cost, take.is_owed)
