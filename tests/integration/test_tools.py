"""Tools in turns of a whole stack: ours, and one of a service that somebody else starts meanwhile."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from parley_contracts import subjects
from parley_contracts.bus_rights import outside_tool_rights
from parley_messaging.bus import Delivery

from tests.fakes.openai_server import OpenAiFake
from tests.integration.bus_users import operating, tell_bus
from tests.integration.rogue import open_rogue
from tests.integration.stack import Stack
from tests.integration.turn_view import TurnView
from tests.stack_marks import STACK

pytestmark = STACK

EXAMPLE = Path(__file__).parents[2] / "examples" / "weather_tool.py"
RIGHTS = outside_tool_rights("weather")
CALLS_TOOLS = "openai/plan:tools"
"""Calls each tool that it may, once, and then says what they said."""
UP_S = 20.0


@asynccontextmanager
async def offering_weather(stack: Stack) -> AsyncGenerator[None]:
    """Issue credentials and run the example by them; it is up when it has told its tools."""
    seed = stack.access.users.nkey_file(stack.access.users.issue(RIGHTS))
    await tell_bus(stack)
    is_up = asyncio.Event()

    async def hear(_: Delivery) -> None:
        is_up.set()

    async with operating(stack) as operator:
        await operator.subscribe(subjects.tool_offered(RIGHTS.name), hear)
        await operator.connection.flush()
        environment = {**os.environ, "NATS_URL": stack.nats_url, "NATS_NKEY_FILE": str(seed)}
        process = await asyncio.create_subprocess_exec(sys.executable, str(EXAMPLE), env=environment)
        try:
            async with asyncio.timeout(UP_S):
                await is_up.wait()
            yield
        finally:
            process.kill()
            await process.wait()


def called(turn: TurnView) -> list[tuple[str, bool, str]]:
    return [
        (event["name"], event["is_error"], event["text"])
        for event in turn.events
        if event["type"] == "tool_finished"
    ]


async def test_a_tool_that_somebody_starts_while_a_chat_is_open_is_used_in_the_next_turn(
    stack: Stack, openai_upstream: OpenAiFake
) -> None:
    async with stack.chat() as chat:
        asking = {"model": CALLS_TOOLS, "collections": [], "tools": ["weather__today"]}
        before = await chat.ask("What is the weather?", **asking)
        assert before.ending["type"] == "turn_completed", before.ending
        assert before.ending["degraded"] == ["tools"]
        assert called(before) == []
        async with offering_weather(stack):
            after = await chat.ask("And now?", conversation_id=before.conversation_id, **asking)
    assert after.ending["type"] == "turn_completed", after.ending
    assert (after.ending["degraded"], after.ending["finish_reason"]) == ([], "stop")
    [(name, is_error, told)] = called(after)
    assert (name, is_error) == ("weather__today", False)
    assert told == 'In some "text" it is 21 degrees, and it rains.'
    sent = openai_upstream.requests[-1]["messages"]
    assert [message["content"] for message in sent if message["role"] == "tool"] == [told]
    assert after.text == f"The tools said: {told}"
    assert "tool_call_delta" not in after.types
    async with stack.http() as client:
        kept = (await client.get(f"/api/conversations/{before.conversation_id}")).json()
    assert kept["messages"][-1]["text"] == after.text


async def test_tools_of_ours_are_there_and_a_request_over_http_names_them(
    stack: Stack, openai_upstream: OpenAiFake
) -> None:
    names = ["calculate", "search_knowledge", "read_file", "analyse_table", "read_page", "http_request"]
    body = {
        "model": CALLS_TOOLS,
        "messages": [{"role": "user", "content": "How much is it?"}],
        "collections": [],
        "parley_tools": names,
    }
    async with stack.http() as client:
        answer = (await client.post("/v1/chat/completions", json=body)).raise_for_status().json()
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert "tool_calls" not in answer["choices"][0]["message"]
    first, second = list(openai_upstream.requests)[-2:]
    offered = {one["function"]["name"]: one["function"] for one in first["tools"]}
    assert sorted(offered) == sorted(names)
    assert offered["calculate"]["parameters"]["required"] == ["expression"]
    told = [message["content"] for message in second["messages"] if message["role"] == "tool"]
    assert len(told) == len(names)
    assert "expression: that is no arithmetic expression." in told
    assert "url: contains spaces, backslashes or control characters" in told


async def test_who_offers_tools_answers_its_own_calls_and_nothing_else(stack: Stack) -> None:
    seed = stack.access.users.nkey_file(stack.access.users.issue(RIGHTS))
    await tell_bus(stack)
    offer = json.dumps({"tools": [{"name": "calculate"}]}).encode()
    async with open_rogue(stack.nats_url, seed, RIGHTS.inbox_prefix) as rogue:
        for subject in (
            subjects.TOOL_CALCULATE,
            subjects.outside_tool_call("shop", "price"),
            subjects.ALL_OUTSIDE_TOOL_CALLS,
            subjects.ALL_TOOL_OFFERS,
            subjects.turn_events_of("gateway-0"),
        ):
            assert await rogue.may_not_hear(subject, RIGHTS.name), subject
        # Nor outside its group, where it would get a copy of what another instance answers.
        assert await rogue.may_not_hear(subjects.tool_calls_of("weather"))
        for subject in (
            subjects.tool_offered("llm"),
            subjects.tool_offered("tools-shop"),
            subjects.TOOL_CALCULATE,
            subjects.TOOL_DESCRIBE,
            subjects.turn_submit("ext-weather"),
            subjects.RAG_SEARCH,
        ):
            assert await rogue.may_not_send(subject, offer), subject
        assert not await rogue.may_not_hear(subjects.tool_calls_of("weather"), RIGHTS.name)
        assert not await rogue.may_not_send(subjects.tool_offered(RIGHTS.name), offer)
