"""What each service does in Redis, and so all that its user may do: commands, and keys by their patterns."""

from dataclasses import dataclass

EMBEDDING_KEYS = "emb:"
"""What the key of a remembered vector begins with."""


@dataclass(frozen=True, slots=True)
class RedisRights:
    """One user of Redis.

    Attributes:
        name: The user: the service's name.
        commands: What it may send.
        keys: Patterns of the keys it may read and write.
    """

    name: str
    commands: tuple[str, ...]
    keys: tuple[str, ...]


REDIS_USERS = {
    one.name: one for one in (RedisRights("npu", ("ping", "select", "mget", "set"), (f"{EMBEDDING_KEYS}*",)),)
}
"""Every service that uses Redis."""
