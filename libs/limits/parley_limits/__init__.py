"""Token buckets that all gateways share, and the same of one process."""

from parley_limits.memory_buckets import MemoryBuckets
from parley_limits.rates import Buckets, Rate, Standing, Take, Verdict, parse_rate
from parley_limits.redis_buckets import RedisBuckets, open_limits

__all__ = [
    "Buckets",
    "MemoryBuckets",
    "Rate",
    "RedisBuckets",
    "Standing",
    "Take",
    "Verdict",
    "open_limits",
    "parse_rate",
]
