"""Visitors of a page ask its bot: each in a session of his own, over the documents that the bot names."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.provider_keys import KekRotation, RotateKek
from parley_gateway.site_door import Site
from parley_gateway.visitor_tokens import Visitor, VisitorTokens

from tests.unit.accounts.accounts_rig import OWNER
from tests.unit.gateway.http_edge import until
from tests.unit.gateway.rig import ANSWER, Seen
from tests.unit.gateway.site_edge import PAGE, SECRET, SiteEdge, open_site_edge
from tests.unit.gateway.whole_edge import MODEL, TEXT


@pytest.fixture
async def sites(tmp_path: Path, accounts_file: Path) -> AsyncGenerator[SiteEdge]:
    async with open_site_edge(tmp_path, accounts_file) as opened:
        yield opened


def visitor_of(token: str, bot_id: str) -> Visitor:
    return VisitorTokens(SECRET, lasts_s=3600).read(token, bot_id=bot_id, origin=PAGE)


async def test_a_visitor_is_answered_by_the_bots_prompt_in_a_session_of_his_own(sites: SiteEdge) -> None:
    bot = await sites.bot(memory="session")
    sites.asked.clear()
    response = await sites.ask(bot)
    body = response.json()
    assert (response.status_code, body["text"], body["finish_reason"]) == (200, ANSWER, "stop")
    assert response.headers["parley-visitor"] == body["visitor_token"]
    visitor = visitor_of(body["visitor_token"], bot.id)
    assert (visitor.session, visitor.bot_id) == (body["session"], bot.id)
    assert sites.model.calls[0].messages[0].content == "You guide."
    # Whatever was asked of another service for this turn was asked for the visitor.
    assert sites.asked_on(subjects.MEMORY_STORE_TURN) == {visitor.owner_id}
    assert {one.owner_id for one in sites.asked} == {visitor.owner_id}


async def test_an_answer_is_streamed_from_the_session_to_the_end(sites: SiteEdge) -> None:
    bot = await sites.bot()
    events = await sites.told(bot)
    assert (events[0]["type"], events[-1]["type"]) == ("session", "turn_completed")
    assert "".join(one["text"] for one in events if one["type"] == "text_delta") == ANSWER
    again = await sites.told(bot, **{"Parley-Visitor": events[0]["visitor_token"]})
    assert again[0]["session"] == events[0]["session"]


async def test_who_comes_back_goes_on_and_who_is_new_knows_nothing_of_it(sites: SiteEdge) -> None:
    bot = await sites.bot()
    first = (await sites.ask(bot, "I am Ada.")).json()
    second = (await sites.ask(bot, "Who am I?", token=first["visitor_token"])).json()
    stranger = (await sites.ask(bot, "Who am I?")).json()
    said = [[one.content for one in call.messages[1:]] for call in sites.model.calls]
    assert said == [["I am Ada."], ["I am Ada.", ANSWER, "Who am I?"], ["Who am I?"]]
    assert second["session"] == first["session"] != stranger["session"]


async def test_only_the_collections_that_the_bot_names_are_searched_for_its_owner(sites: SiteEdge) -> None:
    named = await sites.whole.things_of(sites.owner, {"document_id", "name"})
    other = await sites.whole.things_of(sites.owner, {"document_id", "name"})
    bot = await sites.bot(collections=[named["name"]])
    sites.model.pieces[:] = ["A heron [1]."]
    response = await sites.ask(bot, "What stands at the weir?")
    assert sites.asked_on(subjects.RAG_SEARCH) == {sites.owner.user.id}
    (given,) = sites.model.calls[0].citations
    assert (given.document.collection, given.text) == (named["name"], TEXT.decode())
    assert [one["text"] for one in response.json()["citations"]] == [TEXT.decode()]
    for hidden in (*named.values(), *other.values(), sites.owner.user.id):
        assert hidden == "1" or hidden not in response.text.replace(bot.id, "")


async def test_a_bot_without_collections_searches_nothing(sites: SiteEdge) -> None:
    await sites.whole.things_of(sites.owner, {"document_id"})
    sites.asked.clear()
    await sites.ask(await sites.bot(), "What stands at the weir?")
    assert sites.asked_on(subjects.RAG_SEARCH) == set()
    assert sites.model.calls[0].citations == ()


async def test_a_bot_whose_collection_is_gone_answers_without_it(sites: SiteEdge) -> None:
    response = await sites.ask(await sites.bot(collections=["never-was"]))
    assert (response.status_code, response.json()["text"]) == (200, ANSWER)


async def test_nothing_is_kept_where_the_bot_keeps_nothing(sites: SiteEdge) -> None:
    bot = await sites.bot(memory="none")
    first = (await sites.ask(bot, "I am Ada.")).json()
    sites.asked.clear()
    await sites.ask(bot, "Who am I?", token=first["visitor_token"])
    assert [one.content for one in sites.model.calls[1].messages[1:]] == ["Who am I?"]
    assert {one.subject for one in sites.asked} == set()
    # A session that was not kept is not gone on with when the bot begins to keep them.
    await sites.change(bot, memory="session")
    await until(lambda: len(sites.edge.sites.bots) == 0)
    kept = (await sites.ask(bot, "Who am I?", token=first["visitor_token"])).json()
    again = await sites.ask(bot, "And now?", token=kept["visitor_token"])
    assert again.json()["session"] == kept["session"]


async def test_the_first_model_of_the_chain_that_is_there_answers_within_the_limits(sites: SiteEdge) -> None:
    chain = [{"model": "away"}, {"model": MODEL, "params": {"temperature": 0.5, "max_tokens": 900}}]
    bot = await sites.bot(models=chain, limits={"answer_tokens": 300, "question_chars": 20})
    assert (await sites.ask(bot)).status_code == 200
    params = sites.model.calls[0].params
    assert (params.temperature, params.max_tokens) == (0.5, 300)
    long = await sites.ask(bot, "x" * 21)
    assert (long.status_code, long.json()["error"]["field"]) == (413, "text")
    none = await sites.ask(await sites.bot(models=[{"model": "away"}]))
    assert (none.status_code, "away" in none.text) == (503, False)


async def test_a_model_that_fails_tells_visitors_nothing_of_itself(sites: SiteEdge) -> None:
    sites.model.error = ParleyError(ErrorCode.UPSTREAM_FAILED, "10.0.0.7 refused sk-1234", retryable=False)
    bot = await sites.bot()
    whole, streamed = await sites.ask(bot), await sites.told(bot)
    assert whole.status_code == 502
    assert streamed[-1]["type"] == "turn_failed"
    assert "10.0.0.7" not in whole.text + str(streamed)


async def test_the_same_key_is_the_same_answer_in_a_session(sites: SiteEdge) -> None:
    bot = await sites.bot()
    token = (await sites.ask(bot)).json()["visitor_token"]
    named = {"Idempotency_Key": "k1"}
    one = (await sites.ask(bot, "Again?", token=token, **named)).json()
    # What the bot has become since changes nothing of what was asked.
    await sites.change(bot, prompt="Another one.")
    two = (await sites.ask(bot, "Again?", token=token, **named)).json()
    assert (one["turn_id"], one["text"]) == (two["turn_id"], two["text"])
    assert len(sites.model.calls) == 2
    other = await sites.ask(bot, "Something else?", token=token, **named)
    assert other.status_code == 409


async def test_a_session_is_deleted_for_good(sites: SiteEdge) -> None:
    bot = await sites.bot()
    told = (await sites.ask(bot)).json()
    session, token = told["session"], told["visitor_token"]
    for _ in range(2):
        assert (await sites.forget(bot, session, token)).json() == {"type": "done"}
    after = await sites.ask(bot, token=token)
    assert (after.status_code, after.json()["error"]["code"]) == (404, "not_found")
    assert len(sites.model.calls) == 1


async def test_a_session_that_is_deleted_while_it_is_answered_is_not_kept_afterwards(
    sites: SiteEdge,
) -> None:
    bot = await sites.bot()
    token = (await sites.ask(bot)).json()["visitor_token"]
    visitor = visitor_of(token, bot.id)
    sites.model.may_go_on.clear()
    asking = asyncio.create_task(sites.ask(bot, "And then?", token=token))
    await until(lambda: len(sites.model.calls) == 2)
    assert (await sites.forget(bot, visitor.session, token)).status_code == 200
    sites.model.may_go_on.set()
    assert (await asking).status_code == 200
    assert (await sites.ask(bot, token=token)).status_code == 404


async def test_a_session_that_is_deleted_before_anything_is_kept_is_never_kept(sites: SiteEdge) -> None:
    bot = await sites.edge.sites.bots.find((await sites.bot()).id)
    site, seen = Site(bot, PAGE), Seen()
    sites.model.may_go_on.clear()
    asked = sites.edge.sites
    turn, visitor = await asked.ask(site.bot, asked.visitor(site, None), "I am Ada.", seen.take)
    await asked.forget(visitor, visitor.session)
    sites.model.may_go_on.set()
    await seen.ended()
    await sites.edge.door.release(turn.watch)
    after = await sites.ask(site.bot, "Who am I?", token=asked.token_of(site, visitor))
    assert after.status_code == 404


async def test_chats_go_on_while_the_key_encryption_key_rotates(sites: SiteEdge) -> None:
    bot, accounts = await sites.bot(), sites.whole.entered.accounts
    answers: list[int] = []

    async def chat() -> None:
        token: str | None = None
        for _ in range(5):
            response = await sites.ask(bot, token=token)
            answers.append(response.status_code)
            token = response.json()["visitor_token"]

    async def rotate() -> KekRotation:
        request = RotateKek(**OWNER, begins=True, limit=1)
        while True:
            step = await accounts.ask(subjects.ACCOUNTS_ROTATE_KEK, request, KekRotation)
            await accounts.log_in("ada")
            if step.is_done:
                return step
            request = RotateKek(**OWNER, limit=1)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(chat())
        rotating = tasks.create_task(rotate())
    assert answers == [200] * 20
    assert rotating.result().left == 0
