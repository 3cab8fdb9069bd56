"""What the page says of an answer's sources, and what people say of them."""

import pytest
from playwright.async_api import Page, expect

from tests.e2e.asking import ask, cite
from tests.fakes.gateway_page_server import StandInState
from tests.fakes.gateway_page_turns import ScriptedTurn
from tests.integration.waiting import eventually

pytestmark = [pytest.mark.chromium, pytest.mark.asyncio(loop_scope="module")]


async def test_an_answer_that_rests_on_nothing_found_says_so(page: Page, state: StandInState) -> None:
    async def uncited(turn: ScriptedTurn) -> None:
        await turn.context(cite(1))
        await turn.say("Who knows.")
        await turn.complete(is_searched=True)

    async def nothing_found(turn: ScriptedTurn) -> None:
        await turn.say("Who knows.")
        await turn.complete(is_searched=True)

    state.scripts.update({"a": uncited, "b": nothing_found})
    await ask(page, "a")
    await expect(page.get_by_test_id("support")).to_contain_text("cites none of the passages")
    await ask(page, "b")
    notes = page.get_by_test_id("support")
    await expect(notes.nth(1)).to_contain_text("Nothing was found in your documents")
    await eventually(lambda: is_stored(state, answers=2))
    await page.reload()
    await expect(notes).to_have_count(2)


async def is_stored(state: StandInState, *, answers: int) -> bool:
    messages = [message for found in state.messages.values() for message in found]
    return sum(message["role"] == "assistant" for message in messages) == answers


async def are_kept(state: StandInState, *verdicts: str) -> bool:
    return tuple(state.verdicts.values()) == verdicts


async def test_a_citation_is_judged_by_keyboard_and_the_verdict_is_there_again_later(
    page: Page, state: StandInState
) -> None:
    async def script(turn: ScriptedTurn) -> None:
        await turn.context(cite(1), cite(2))
        await turn.say("So it is [1-2].")
        await turn.complete()

    state.scripts["q"] = script
    state.unrated = {2}
    state.verdicts["another", 1] = "up"  # fills the first page of the list
    await ask(page, "q")
    good = page.get_by_role("button", name="Source 1 supports the answer")
    bad = page.get_by_role("button", name="Source 1 does not support the answer")
    await expect(good).to_have_attribute("aria-pressed", "false")
    await good.focus()
    await page.keyboard.press("Enter")
    await expect(good).to_have_attribute("aria-pressed", "true")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Space")
    await expect(bad).to_have_attribute("aria-pressed", "true")
    await expect(good).to_have_attribute("aria-pressed", "false")
    await expect(page.get_by_text("Thank you.")).to_be_visible()
    await eventually(lambda: are_kept(state, "up", "down"))
    await page.reload()
    await expect(bad).to_have_attribute("aria-pressed", "true")
    await bad.click()
    await expect(bad).to_have_attribute("aria-pressed", "false")
    await expect(page.get_by_text("Taken back.")).to_be_visible()
    assert await are_kept(state, "up")
    refused = page.get_by_role("button", name="Source 2 supports the answer")
    await refused.click()
    await expect(page.get_by_text("Not kept: That answer has no such citation.")).to_be_visible()
    await expect(refused).to_have_attribute("aria-pressed", "false")
