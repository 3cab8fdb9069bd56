"""The users of a stack's bus: their seeds, what they listen to, and new ones."""

# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false

import os
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from parley_cli.bus_secrets import OPERATOR
from parley_cli.supervisor.brokers import write_authorization
from parley_contracts.accounts import LOCAL_OWNER
from parley_contracts.bus_rights import (
    OUTSIDE_PREFIX,
    STREAM_OF,
    BusRights,
    outside_rights,
    rights_of_user,
)
from parley_contracts.claims import Acting
from parley_contracts.policy import Role
from parley_contracts.subject_permissions import OUTSIDE_SCOPES, OUTSIDE_SUBJECTS
from parley_identity.bus_claims import issue_claims
from parley_messaging.acting import acting_for
from parley_messaging.inboxes import PREFIX
from parley_messaging.nats_bus import NatsBus

from tests.claims import gateways_desk
from tests.integration.rogue import Rogue, open_rogue
from tests.integration.stack import Stack
from tests.integration.waiting import eventually
from tests.plain_http import NO_CERTIFICATES


def rights_of(user: str) -> BusRights:
    """Return the rights of a user of the bus."""
    found = rights_of_user(user)
    assert found is not None
    return found


def seed_of(stack: Stack, user: str) -> Path:
    """Return the file that holds a user's seed."""
    return stack.access.users.nkey_file(user)


async def tell_bus(stack: Stack) -> None:
    """Have the stack's nats-server read its users again."""
    before = await _config_loaded_at(stack)
    write_authorization(stack.folder / "data", stack.access.users)
    os.kill(stack.processes["nats"].pid, signal.SIGHUP)

    async def is_read() -> bool:
        return await _config_loaded_at(stack) != before

    await eventually(is_read, within_s=10)


async def _config_loaded_at(stack: Stack) -> str:
    async with httpx.AsyncClient(verify=NO_CERTIFICATES, trust_env=False) as client:
        answer = await client.get(f"{stack.nats_monitor_url}/varz")
    return str(answer.json()["config_load_time"])


async def issued(stack: Stack, name: str) -> Path:
    """Issue credentials and claims to an outside service, and return its seed once the bus knows it."""
    user = stack.access.users.issue(outside_rights(name))
    claims = issue_claims(stack.folder / "secrets", LOCAL_OWNER, OUTSIDE_SCOPES, OUTSIDE_SUBJECTS, days=1)
    stack.access.users.claims_file(user).write_text(claims)
    await tell_bus(stack)
    return seed_of(stack, user)


@asynccontextmanager
async def rogue_as(stack: Stack, user: str) -> AsyncGenerator[Rogue]:
    """Connect with a user's credentials, while the body runs; an outside one is issued when it is not."""
    prefix = PREFIX if user == OPERATOR else rights_of(user).inbox_prefix
    if not seed_of(stack, user).exists():
        await issued(stack, user.removeprefix(OUTSIDE_PREFIX))
    async with open_rogue(stack.nats_url, seed_of(stack, user), prefix) as rogue:
        yield rogue


@asynccontextmanager
async def operating(stack: Stack) -> AsyncGenerator[NatsBus]:
    """Connect as the user who may do anything, while the body runs."""
    desk = gateways_desk(stack.folder / "secrets")
    bus = NatsBus(stack.nats_url, name="operator", grace_s=2, access=stack.operator_access, claims=desk)
    await bus.connect()
    try:
        with acting_for(Acting(LOCAL_OWNER, Role.OWNER)):
            yield bus
    finally:
        await bus.close()


async def subscriptions_of(stack: Stack, user: str) -> list[tuple[str, str]]:
    """Return subject and queue group of all that the connections of a user hear."""
    public_key = stack.access.users.public_keys()[user]
    async with httpx.AsyncClient(verify=NO_CERTIFICATES, trust_env=False) as client:
        answer = await client.get(f"{stack.nats_monitor_url}/connz", params={"subs": "detail", "auth": "1"})
    found: list[dict[str, Any]] = answer.json()["connections"]
    return [
        (one["subject"], one.get("qgroup", ""))
        for connection in found
        if connection.get("authorized_user") == public_key
        for one in connection.get("subscriptions_list_detail", ())
    ]


async def kept(operator: NatsBus) -> dict[str, int]:
    """Return how many messages each stream holds that nobody takes any out of."""
    streams = operator.connection.jetstream()
    names = ("TURN_PEN", "TURN_EVENTS", "DOMAIN_EVENTS", "OBJ_ORIGINALS")
    return {name: (await streams.stream_info(name)).state.messages for name in names}


def is_all_there(before: Mapping[str, int], after: Mapping[str, int]) -> bool:
    """Return whether no stream holds fewer messages; what was begun before may add some."""
    return all(after[name] >= count for name, count in before.items())


async def consumers(operator: NatsBus) -> dict[str, set[str]]:
    """Return the names of each stream's consumers; those of uploads come and go with their readers."""
    streams = operator.connection.jetstream()
    return {
        name: {found.name for found in await streams.consumers_info(name)}
        for name in dict.fromkeys(STREAM_OF.values())
    }
