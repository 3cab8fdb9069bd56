"""Redis's users follow the code: who uses it is one, with keys of its own and commands for no others."""

import ast
import re

import pytest
from parley_contracts.redis_rights import REDIS_USERS, RedisRights

from tests.architecture.layering import imports
from tests.architecture.source_tree import Source, real_tree

_OWN_KEYS = re.compile(r"[a-z]+:\*")
_FAR_REACHING = frozenset(
    {
        "acl",
        "client",
        "config",
        "debug",
        "flushall",
        "flushdb",
        "function",
        "keys",
        "migrate",
        "monitor",
    }
    | {"move", "psubscribe", "publish", "randomkey", "replicaof", "scan", "script", "shutdown", "subscribe"}
)
"""Commands that reach the server, its scripts or other users' keys, or tell of them.

A script (`eval`) is none: it may send what its user may.
"""


def test_every_service_that_uses_redis_is_a_user_of_it_and_nobody_else_is() -> None:
    assert {one.path.parts[1] for one in real_tree() if one.folder == "services" and _connects(one)} == set(
        REDIS_USERS
    )


def _connects(source: Source) -> bool:
    """Return whether a module imports Redis's client, or what opens one out of a library of ours."""
    is_direct = "redis" in {name.split(".")[0] for _, name in imports(source.tree)}
    opens = (node for node in ast.walk(source.tree) if isinstance(node, ast.ImportFrom))
    return is_direct or any(
        alias.name in {"open_board", "open_limits"} for node in opens for alias in node.names
    )


@pytest.mark.parametrize("user", REDIS_USERS.values(), ids=lambda one: one.name)
def test_a_user_of_redis_has_keys_of_its_own_and_plain_commands(user: RedisRights) -> None:
    assert user.keys or user.reads
    assert not [pattern for pattern in (*user.keys, *user.reads) if not _OWN_KEYS.fullmatch(pattern)]
    assert not [command for command in user.commands if not command.isalpha()]
    assert _FAR_REACHING.isdisjoint(user.commands)


def test_no_two_users_of_redis_share_keys() -> None:
    patterns = [pattern for user in REDIS_USERS.values() for pattern in user.keys]
    assert len(set(patterns)) == len(patterns)
