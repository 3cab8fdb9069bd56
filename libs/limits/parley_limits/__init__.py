"""Token buckets and quotas that all gateways share, and the same of one process."""

from parley_limits.memory_buckets import MemoryBuckets
from parley_limits.memory_ledger import MemoryLedger
from parley_limits.quotas import Claim, Ledger, LedgerAwayError, Most, OpenTurn, Outcome, Quota, Reserved
from parley_limits.rates import Buckets, Rate, Standing, Take, Verdict, parse_rate
from parley_limits.redis_buckets import RedisBuckets, open_limits
from parley_limits.redis_ledger import RedisLedger

__all__ = [
    "Buckets",
    "Claim",
    "Ledger",
    "LedgerAwayError",
    "MemoryBuckets",
    "MemoryLedger",
    "Most",
    "OpenTurn",
    "Outcome",
    "Quota",
    "Rate",
    "RedisBuckets",
    "RedisLedger",
    "Reserved",
    "Standing",
    "Take",
    "Verdict",
    "open_limits",
    "parse_rate",
]
