"""What each service does in Redis, and so all that its user may do: commands, and keys by their patterns."""

from dataclasses import dataclass

REVOCATION_KEYS = "rev:"
"""What the keys of what is refused begin with."""

EMBEDDING_KEYS = "emb:"
"""What the key of a remembered vector begins with."""

ANSWER_KEYS = "ans:"
"""What the keys of remembered answers begin with."""

LIMIT_KEYS = "lim:"
"""What the keys of limits and quotas begin with."""


@dataclass(frozen=True, slots=True)
class RedisRights:
    """One user of Redis.

    Attributes:
        name: The user: the service's name.
        commands: What it may send.
        keys: Patterns of the keys it may read and write; no two users share one.
        reads: Patterns of the keys of others that it may read.
    """

    name: str
    commands: tuple[str, ...]
    keys: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()


_POST = ("multi", "exec", "zadd", "zremrangebyscore", "set")
_ANSWERS = ("multi", "exec", "set", "del", "expire", "zadd", "zrange", "zrem", "zremrangebyscore")
_BUCKETS = ("eval", "evalsha", "time", "set", "zadd", "zcard", "zremrangebyscore")
_QUOTAS = (
    "del",
    "exists",
    "pexpire",
    "hexists",
    "hget",
    "hincrby",
    "hmget",
    "hset",
    "zcount",
    "zrange",
    "zrem",
)
"""A script may send what its user may, and nothing else."""

REDIS_USERS = {
    one.name: one
    for one in (
        RedisRights("npu", ("ping", "select", "mget", "set"), keys=(f"{EMBEDDING_KEYS}*",)),
        RedisRights("llm", ("ping", "select", "get", *_ANSWERS), keys=(f"{ANSWER_KEYS}*",)),
        RedisRights("accounts", ("ping", "select", *_POST), keys=(f"{REVOCATION_KEYS}*",)),
        RedisRights(
            "gateway",
            ("ping", "select", "get", *_BUCKETS, *_QUOTAS),
            keys=(f"{LIMIT_KEYS}*",),
            reads=(f"{REVOCATION_KEYS}*",),
        ),
    )
}
"""Every service that uses Redis."""
