"""The bus of a running stack: each service gets what it needs, and a rogue with its credentials no more."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from parley_cli.bus_secrets import BusSecrets
from parley_contracts import subjects
from parley_contracts.browser import PageText, ReadPage
from parley_contracts.bus_rights import SERVICES, BusRights
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turn_events import text_delta_frame
from parley_messaging.nats_access import BusAccess
from parley_messaging.nats_bus import NatsBus
from parley_messaging.streams import TURN_EVENTS, matches

from tests.chaos.printed import print_table
from tests.fakes.ollama_server import OllamaFake
from tests.integration.paced import TWO_SECONDS
from tests.integration.rogue import Rogue, open_rogue
from tests.integration.stack import Stack
from tests.stack_marks import STACK

pytestmark = STACK


def seed_of(stack: Stack, user: str) -> Path:
    return stack.access.users.nkey_file(user)


async def subscriptions_of(stack: Stack, user: str) -> list[tuple[str, str]]:
    """Return subject and queue group of all that the connections of a user hear."""
    public_key = stack.access.users.public_keys()[user]
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{stack.nats_monitor_url}/connz", params={"subs": "detail", "auth": "1"})
    found: list[dict[str, Any]] = answer.json()["connections"]
    return [
        (one["subject"], one.get("qgroup", ""))
        for connection in found
        if connection.get("authorized_user") == public_key
        for one in connection.get("subscriptions_list_detail", ())
    ]


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


CONSUMER = b'{"stream_name":"TURN_EVENTS","config":{"deliver_subject":"%s","ack_policy":"none"}}'


async def reads_nothing(rogue: Rogue, home: str, turn_id: str) -> None:
    for subject in (
        ">",
        f"{subjects.PREFIX}.>",
        subjects.ALL_TURN_EVENTS,
        subjects.turn_events(home, turn_id),
        f"{subjects.PREFIX}.memory.>",
        subjects.MEMORY_READ_HISTORY,
        subjects.ALL_CONVERSATION_EVENTS,
        "_INBOX.>",
        "_INBOX_gateway.>",
        "$JS.>",
        "$O.>",
        # Its own subject outside of its group would have every request of everybody copied to it.
        subjects.BROWSER_READ,
    ):
        assert await rogue.may_not_hear(subject), subject
    assert await rogue.may_not_hear(subjects.MEMORY_READ_TURN, "memory")
    for subject in (
        subjects.MEMORY_READ_HISTORY,
        subjects.MEMORY_LIST_CONVERSATIONS,
        "$JS.API.DIRECT.GET.TURN_EVENTS",
        "$JS.API.STREAM.MSG.GET.TURN_EVENTS",
        "$JS.API.STREAM.NAMES",
    ):
        assert await rogue.may_not_send(subject), subject
        assert await rogue.gets_no_answer(subject), subject


async def makes_nothing(rogue: Rogue) -> None:
    config = CONSUMER % rogue.connection.new_inbox().encode()
    for subject in (
        "$JS.API.CONSUMER.CREATE.TURN_EVENTS",
        "$JS.API.CONSUMER.CREATE.TURN_EVENTS.rogue",
        "$JS.API.CONSUMER.DURABLE.CREATE.TURN_EVENTS.rogue",
        "$JS.API.CONSUMER.MSG.NEXT.LLM_JOBS.pool-ollama",
        "$JS.API.STREAM.CREATE.ROGUE",
        "$JS.API.STREAM.UPDATE.TURN_EVENTS",
        "$JS.API.STREAM.PURGE.TURN_EVENTS",
        "$JS.API.STREAM.DELETE.TURN_EVENTS",
        "$JS.API.INFO",
    ):
        assert await rogue.may_not_send(subject, config), subject
        assert await rogue.gets_no_answer(subject, config), subject


async def has_nothing_sent_for_it(rogue: Rogue) -> None:
    """nats-server acknowledges what is stored, and answers its API, wherever the sender says."""
    for subject in (subjects.turn_start("t"), subjects.CONVERSATION_TURN_COMPLETED, "$O.ORIGINALS.C.x"):
        assert await rogue.may_not_send(subject, reply="$JS.API.STREAM.PURGE.TURN_EVENTS"), subject


async def test_a_rogue_with_the_browsers_credentials_reads_writes_and_makes_nothing(
    stack: Stack, ollama: OllamaFake
) -> None:
    refused_before = refusals_of(stack)
    operator = NatsBus(stack.nats_url, name="operator", grace_s=2, access=stack.operator_access)
    await operator.connect()
    try:
        async with (
            open_rogue(stack.nats_url, seed_of(stack, "browser"), "_INBOX_browser") as rogue,
            stack.chat() as chat,
        ):
            turn = await chat.start("Begin here.", model=TWO_SECONDS.id, collections=[])
            await chat.until(lambda: turn.last_seq > 0)
            home, turn_id = "h", uuid4().hex
            await reads_nothing(rogue, home, turn_id)
            await makes_nothing(rogue)
            await has_nothing_sent_for_it(rogue)
            token = text_delta_frame(b'"t"', 1_000_000, "forged")
            for subject in (
                subjects.turn_events(home, turn_id),
                subjects.turn_start(turn_id),
                subjects.turn_cancel(turn_id),
                subjects.pen_slot(turn_id, 1),
                subjects.turn_queue(home, turn_id),
                subjects.llm_generate("ollama"),
                "_INBOX_gateway.guessed",
            ):
                assert await rogue.may_not_send(subject, token), subject
            assert await operator.last_stored(TURN_EVENTS, subjects.turn_events(home, turn_id)) is None
            # The browser itself goes on meanwhile, and so does the turn.
            page = ReadPage(owner_id="local", url=f"{ollama.url}/", max_chars=1000)
            answers = await asyncio.gather(
                *(operator.request(subjects.BROWSER_READ, page, PageText, timeout_s=30) for _ in range(2)),
            )
            assert all(answer.text for answer in answers)
            await chat.until(lambda: turn.is_over)
        assert turn.ending["type"] == "turn_completed"
        assert "forged" not in turn.text
        assert not rogue.heard
        print_table("With the browser's credentials:", *rogue.tried)
    finally:
        await operator.close()
    assert refusals_of(stack) == refused_before


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
        with pytest.raises(ConnectionError, match="Authorization Violation"):
            await bus.connect()
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
    async with asyncio.timeout(5):
        for command in commands:
            writer.write(f"{command}\r\n".encode())
            line = (await reader.readline()).decode().strip()
            if line.startswith("*"):
                # An array: of one value, as it is asked for here.
                line = (await reader.readline() + await reader.readline()).decode().split()[-1]
            found.append(line)
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
        "DEBUG SLEEP 0",
    )
    answers = await said(stack, *refused, user="npu")
    assert [one for one in zip(refused, answers, strict=True) if not one[1].startswith("-NOPERM")] == []


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
