"""Users ask bots of a group of theirs: their own turns, by the bot's settings, over its owner's documents."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from parley_contracts import subjects
from parley_contracts.bots import Bot
from parley_contracts.client_frames import StartTurnFrame
from parley_contracts.credentials import CreateKey, KeyCreated
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.groups import RemoveGroupMember
from parley_contracts.policy import Permission, Role
from parley_contracts.replies import Done
from parley_contracts.shared_bots import BotShare, ShareBot
from parley_gateway.principal import Principal
from parley_gateway.turn_door import AcceptedTurn

from tests.unit.accounts.accounts_rig import OWNER, as_user
from tests.unit.gateway.rig import ANSWER, Seen
from tests.unit.gateway.site_edge import SiteEdge, open_site_edge
from tests.unit.gateway.whole_edge import MODEL, TEXT, Visitor


@pytest.fixture
async def sites(tmp_path: Path, accounts_file: Path) -> AsyncGenerator[SiteEdge]:
    async with open_site_edge(tmp_path, accounts_file) as opened:
        yield opened


async def share(sites: SiteEdge, bot: Bot, *members: Visitor) -> str:
    """Share a bot of the sites' owner with users; return the group."""
    group_id = await sites.whole.group(sites.owner.user, *(one.user for one in members))
    request = ShareBot(**as_user(sites.owner.user), bot_id=bot.id, group_id=group_id)
    await sites.whole.entered.accounts.ask(subjects.ACCOUNTS_SHARE_BOT, request, BotShare)
    return group_id


def principal_of(visitor: Visitor) -> Principal:
    return Principal(visitor.user.id, visitor.user.role, session_id=visitor.tokens.session_id)


async def start(sites: SiteEdge, who: Visitor, bot_id: str, seen: Seen, **fields: Any) -> AcceptedTurn:
    named: dict[str, Any] = {"text": "Who has the pen?", **fields}
    frame = StartTurnFrame(type="start_turn", bot_id=bot_id, **named)
    return await sites.edge.bot_turns.start(principal_of(who), frame, seen.take)


async def refused(sites: SiteEdge, who: Visitor, bot_id: str, **fields: Any) -> ParleyError:
    with pytest.raises(ParleyError) as told:
        await start(sites, who, bot_id, Seen(), **fields)
    return told.value


async def answered(sites: SiteEdge, who: Visitor, bot_id: str, **fields: Any) -> tuple[AcceptedTurn, str]:
    seen = Seen()
    turn = await start(sites, who, bot_id, seen, **fields)
    ending = await seen.ended()
    assert ending.type == "turn_completed", ending  # type: ignore[attr-defined]  # every event has a type
    await sites.edge.door.release(turn.watch)
    return turn, seen.text


async def test_a_members_turn_is_his_own_and_goes_by_the_bots_settings(sites: SiteEdge) -> None:
    bob = await sites.whole.visitor(Role.GUEST, "bob")
    bot = await sites.bot(limits={"question_chars": 30, "answer_tokens": 300}, models=[{"model": MODEL}])
    await share(sites, bot, bob)
    turn, text = await answered(sites, bob, bot.id)
    assert text == ANSWER
    assert turn.ref.owner_id == bob.user.id
    call = sites.model.calls[0]
    assert (call.messages[0].content, call.params.max_tokens) == ("You guide.", 300)
    assert sites.asked_on(subjects.MEMORY_STORE_TURN) == {bob.user.id}
    await answered(sites, bob, bot.id, text="And who else?", conversation_id=turn.conversation_id)
    assert [one.content for one in sites.model.calls[1].messages[1:]] == [
        "Who has the pen?",
        ANSWER,
        "And who else?",
    ]
    too_long = await refused(sites, bob, bot.id, text="x" * 31)
    assert (too_long.code, too_long.field) == (ErrorCode.TOO_LARGE, "text")


async def test_only_what_the_bot_names_of_its_owners_is_searched_and_nothing_of_the_members(
    sites: SiteEdge,
) -> None:
    bob = await sites.whole.visitor(Role.MEMBER, "bob")
    named = await sites.whole.things_of(sites.owner, {"document_id", "name"})
    await sites.whole.things_of(sites.owner, {"document_id", "name"})
    await sites.whole.things_of(bob, {"document_id", "name"})
    bot = await sites.bot(collections=[named["name"]])
    await share(sites, bot, bob)
    sites.asked.clear()
    await answered(sites, bob, bot.id, text="What stands at the weir?")
    assert sites.asked_on(subjects.RAG_SEARCH) == {sites.owner.user.id}
    (given,) = sites.model.calls[0].citations
    assert (given.document.collection, given.text) == (named["name"], TEXT.decode())
    # What he has been quoted from remains somebody else's.
    path = f"/api/documents/{named['document_id']}"
    assert (await sites.client.get(path, headers=bob.headers)).status_code == 404
    for field, value in (
        ("collections", ()),
        ("collections", (named["name"],)),
        ("web", True),
        ("model", MODEL),
        ("tools", ("calculate",)),
    ):
        told = await refused(sites, bob, bot.id, **{field: value})
        assert (told.code, told.field) == (ErrorCode.INVALID_REQUEST, field)


async def test_others_find_no_such_bot_and_members_none_from_the_moment_they_are_taken_out(
    sites: SiteEdge,
) -> None:
    bob, eva = await sites.whole.visitor(Role.MEMBER, "bob"), await sites.whole.visitor(Role.ADMIN, "eva")
    bot = await sites.bot()
    group_id = await share(sites, bot, bob)
    told = [await refused(sites, eva, bot_id) for bot_id in (bot.id, "never-was")]
    assert {(one.code, one.message, one.field) for one in told} == {
        (ErrorCode.NOT_FOUND, "There is no such bot.", "bot_id")
    }
    turn, _ = await answered(sites, bob, bot.id, turn_id="once")
    out = RemoveGroupMember(**OWNER, group_id=group_id, user_id=bob.user.id)
    await sites.whole.entered.accounts.ask(subjects.ACCOUNTS_REMOVE_GROUP_MEMBER, out, Done)
    for fields in ({}, {"turn_id": "once"}, {"conversation_id": turn.conversation_id}):
        assert (await refused(sites, bob, bot.id, **fields)).code is ErrorCode.NOT_FOUND
    # The answer that he was given is his.
    kept = await sites.client.get(f"/api/conversations/{turn.conversation_id}", headers=bob.headers)
    assert kept.status_code == 200


async def test_a_bot_that_keeps_nothing_keeps_nothing_of_members_either(sites: SiteEdge) -> None:
    bob = await sites.whole.visitor(Role.MEMBER, "bob")
    bot = await sites.bot(memory="none")
    await share(sites, bot, bob)
    sites.asked.clear()
    turn, _ = await answered(sites, bob, bot.id)
    await answered(sites, bob, bot.id, text="Who am I?", conversation_id=turn.conversation_id)
    assert [one.content for one in sites.model.calls[1].messages[1:]] == ["Who am I?"]
    assert {one.subject for one in sites.asked} == {subjects.ACCOUNTS_ASK_BOT}


async def test_a_bot_is_a_model_of_completions_for_whom_it_is_shared_with(sites: SiteEdge) -> None:
    bob, eva = await sites.whole.visitor(Role.MEMBER, "bob"), await sites.whole.visitor(Role.MEMBER, "eva")
    bot = await sites.bot()
    await share(sites, bot, bob)

    async def complete(who: Visitor, model: str) -> tuple[int, Any]:
        body = {"model": model, "messages": [{"role": "user", "content": "Who has the pen?"}]}
        response = await sites.client.post("/v1/chat/completions", json=body, headers=who.headers)
        return response.status_code, response.json()

    status, body = await complete(bob, f"bot:{bot.id}")
    assert (status, body["choices"][0]["message"]["content"]) == (200, ANSWER)
    assert body["model"] == f"bot:{bot.id}"
    assert sites.model.calls[0].messages[0].content == "You guide."
    told = [await complete(eva, f"bot:{bot_id}") for bot_id in (bot.id, "never-was", "", "x" * 65)]
    assert {(status, body["error"]["code"], body["error"]["param"]) for status, body in told} == {
        (404, "model_not_found", "model")
    }


async def test_the_models_that_are_listed_end_with_the_bots_that_one_may_ask(sites: SiteEdge) -> None:
    bob, eva = await sites.whole.visitor(Role.GUEST, "bob"), await sites.whole.visitor(Role.MEMBER, "eva")
    shared, own = await sites.bot(name="Shared"), await sites.bot(owner=eva, name="Own")
    await sites.bot(owner=eva, is_enabled=False)
    await share(sites, shared, bob, eva)

    async def listed(who: Visitor, **headers: str) -> dict[str, str | None]:
        response = await sites.client.get("/v1/models", headers={**who.headers, **headers})
        return {one["id"]: one.get("name") for one in response.json()["data"]}

    assert list((await listed(eva)).items()) == [
        (MODEL, None),
        (f"bot:{own.id}", "Own"),
        (f"bot:{shared.id}", "Shared"),
    ]
    assert list(await listed(bob)) == [MODEL, f"bot:{shared.id}"]
    assert list(await listed(sites.owner)) == [MODEL, f"bot:{shared.id}"]
    request = CreateKey(**as_user(eva.user), name="reads", key_scopes=(Permission.MODELS_READ,))
    key = await sites.whole.entered.accounts.ask(subjects.ACCOUNTS_CREATE_KEY, request, KeyCreated)
    assert list(await listed(eva, Authorization=f"Bearer {key.key}")) == [MODEL]

    async def read(who: Visitor, bot_id: str) -> tuple[int, Any]:
        response = await sites.client.get(f"/v1/models/bot:{bot_id}", headers=who.headers)
        return response.status_code, response.json()

    status, body = await read(bob, shared.id)
    assert (status, body["id"], body["name"]) == (200, f"bot:{shared.id}", "Shared")
    assert body["created"] == shared.created_at_ms // 1000
    refused = [await read(bob, bot_id) for bot_id in (own.id, "never-was", "", "x" * 65)]
    assert {(status, body["error"]["code"], body["error"]["param"]) for status, body in refused} == {
        (404, "model_not_found", "model")
    }


async def test_models_are_listed_also_while_nobody_can_say_which_bots_there_are(sites: SiteEdge) -> None:
    await sites.bot()
    for subject in (subjects.ACCOUNTS_LIST_BOTS, subjects.ACCOUNTS_LIST_SHARED_BOTS):
        sites.whole.bus._answers.pop(subject)  # pyright: ignore[reportPrivateUsage] - it stops only as a whole
    response = await sites.client.get("/v1/models", headers=sites.owner.headers)
    assert [one["id"] for one in response.json()["data"]] == [MODEL]


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant"])
async def test_all_that_a_completion_sends_counts_for_what_a_bot_takes(sites: SiteEdge, role: str) -> None:
    bob = await sites.whole.visitor(Role.MEMBER, "bob")
    bot = await sites.bot(limits={"question_chars": 40})
    await share(sites, bot, bob)

    async def complete(before: str) -> tuple[int, Any]:
        messages = [{"role": role, "content": before}, {"role": "user", "content": "x" * 20}]
        body = {"model": f"bot:{bot.id}", "messages": messages}
        response = await sites.client.post("/v1/chat/completions", json=body, headers=bob.headers)
        return response.status_code, response.json()

    status, body = await complete("y" * 21)
    assert (status, body["error"]["code"], body["error"]["param"]) == (413, "too_large", "messages")
    assert sites.model.calls == []
    assert (await complete("y" * 20))[0] == 200
