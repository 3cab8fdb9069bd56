"""Redis's users follow the code: who uses it is one, with keys of its own and commands for no others."""

import re

import pytest
from parley_contracts.redis_rights import REDIS_USERS, RedisRights

from tests.architecture.layering import imports
from tests.architecture.source_tree import real_tree

_OWN_KEYS = re.compile(r"[a-z]+:\*")
_FAR_REACHING = frozenset(
    {
        "acl",
        "client",
        "config",
        "debug",
        "eval",
        "flushall",
        "flushdb",
        "function",
        "keys",
        "migrate",
        "monitor",
    }
    | {"move", "psubscribe", "publish", "randomkey", "replicaof", "scan", "script", "shutdown", "subscribe"}
)
"""Commands that reach the server, its scripts or other users' keys, or tell of them."""


def test_every_service_that_uses_redis_is_a_user_of_it_and_nobody_else_is() -> None:
    using = {
        source.path.parts[1]
        for source in real_tree()
        if source.folder == "services" and "redis" in {name.split(".")[0] for _, name in imports(source.tree)}
    }
    assert using == set(REDIS_USERS)


@pytest.mark.parametrize("user", REDIS_USERS.values(), ids=lambda one: one.name)
def test_a_user_of_redis_has_keys_of_its_own_and_plain_commands(user: RedisRights) -> None:
    assert user.keys
    assert not [pattern for pattern in user.keys if not _OWN_KEYS.fullmatch(pattern)]
    assert not [command for command in user.commands if not command.isalpha()]
    assert _FAR_REACHING.isdisjoint(user.commands)


def test_no_two_users_of_redis_share_keys() -> None:
    patterns = [pattern for user in REDIS_USERS.values() for pattern in user.keys]
    assert len(set(patterns)) == len(patterns)
