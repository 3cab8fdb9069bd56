"""The bus of a running stack: each service gets what it needs, and a rogue with its credentials no more."""

import asyncio
from pathlib import Path

import pytest
from parley_cli.bus_secrets import OPERATOR, BusSecrets
from parley_contracts import subjects
from parley_contracts.browser import PageText, ReadPage
from parley_contracts.bus_rights import SERVICES, BusRights
from parley_contracts.errors import ErrorCode, ParleyError
from parley_messaging.nats_access import BusAccess
from parley_messaging.nats_bus import NatsBus
from parley_messaging.streams import matches

from tests.integration.bus_users import seed_of, subscriptions_of
from tests.integration.stack import Stack
from tests.integration.waiting import eventually
from tests.refused_connection import close_refused
from tests.stack_marks import STACK

pytestmark = STACK


@pytest.mark.parametrize("rights", SERVICES.values(), ids=lambda one: one.name)
async def test_each_service_answers_what_it_declares_in_its_group_and_hears_nothing_else(
    stack: Stack, rights: BusRights
) -> None:
    heard = await subscriptions_of(stack, rights.name)
    answered = {subject for subject, group in heard if group == rights.name}
    assert answered == set(rights.answers)
    for subject, group in heard:
        is_inbox = subject.startswith(f"{rights.inbox_prefix}.")
        assert group == rights.name or is_inbox or any(matches(one, subject) for one in rights.hears), subject


def refusals_of(stack: Stack) -> list[str]:
    return [
        line
        for name, process in stack.processes.items()
        for line in process.log.read_text(errors="replace").splitlines()
        if "the bus refuses what" in line and name != "nats"
    ]


async def test_without_credentials_or_with_unknown_ones_the_bus_opens_to_nobody(
    stack: Stack, tmp_path: Path
) -> None:
    strangers = BusSecrets(tmp_path)
    strangers.create()
    for nkey in (strangers.nkey_file("gateway"), None):
        bus = NatsBus(
            stack.nats_url,
            name="stranger",
            start_timeout_s=1.5,
            access=BusAccess(nkey_file=nkey),
        )
        with pytest.raises(ConnectionError, match="Authorization Violation") as caught:
            await bus.connect()
        close_refused(caught.value)
        await bus.close()


async def test_no_service_has_asked_for_more_than_it_may(stack: Stack) -> None:
    """The whole stack has run, turns and documents with it, and nothing was refused to anybody."""
    assert refusals_of(stack) == []


async def said(stack: Stack, *commands: str, user: str = "") -> list[str]:
    """Return the first line of redis-server's answer to each command."""
    if user:
        commands = (f"AUTH {user} {stack.access.users.redis_password(user)}", *commands)
    host, _, port = stack.access.redis_url.removeprefix("redis://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    found: list[str] = []
    try:
        async with asyncio.timeout(5):
            for command in commands:
                writer.write(f"{command}\r\n".encode())
                line = (await reader.readline()).decode().strip()
                if line.startswith("*"):
                    # An array: of one value, as it is asked for here.
                    line = (await reader.readline() + await reader.readline()).decode().split()[-1]
                found.append(line)
    finally:
        writer.close()
        await writer.wait_closed()
    return found[1:] if user else found


async def test_redis_lets_npu_at_its_own_keys_and_nobody_else_at_any(stack: Stack) -> None:
    ping, get = await said(stack, "PING", "GET emb:x")
    assert ping == "+PONG"
    assert get.startswith(("-NOPERM", "-NOAUTH"))
    allowed = ("SELECT 5", "SET emb:test 1 EX 5", "MGET emb:test")
    assert await said(stack, *allowed, user="npu") == ["+OK", "+OK", "1"]
    refused = (
        "GET emb:test",
        "SET revoked:x 1",
        "MGET limits:x",
        "MGET emb:test limits:x",
        "KEYS *",
        "SCAN 0",
        "FLUSHALL",
        "CONFIG GET *",
        "ACL LIST",
        "EVAL return(1) 0",
        "PUBLISH revoked 1",
        "SUBSCRIBE *",
        "MIGRATE h 1 emb:test 0 1",
    )
    answers = await said(stack, *refused, user="npu")
    assert [one for one in zip(refused, answers, strict=True) if not one[1].startswith("-NOPERM")] == []
    # With these rights npu keeps its vectors there.
    async with stack.http() as client:
        (await client.post("/api/search", json={"query": "What does npu keep?"})).raise_for_status()

    async def are_kept() -> bool:
        return int((await said(stack, "SELECT 5", "DBSIZE", user=OPERATOR))[1].removeprefix(":")) > 0

    await eventually(are_kept)


async def test_what_a_service_asks_without_permission_is_told_by_its_log(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    access = BusAccess(rights=SERVICES["browser"], nkey_file=seed_of(stack, "browser"))
    bus = NatsBus(stack.nats_url, name="browser-test", grace_s=2, access=access)
    await bus.connect()
    try:
        page = ReadPage(owner_id="local", url="http://a/", max_chars=1)
        with pytest.raises(ParleyError) as caught:
            await bus.request(subjects.NPU_EMBED, page, PageText, timeout_s=0.5)
        assert caught.value.code is ErrorCode.TIMEOUT
        assert bus.refusals == 1
        (line,) = [one for one in caplog.records if "the bus refuses what" in one.message]
        assert vars(line)["subject"] == subjects.NPU_EMBED
        assert vars(line)["action"] == "publish"
    finally:
        await bus.close()
