"""The chat page in a real Chromium, against a stand-in gateway that speaks the real frames."""

import re

import pytest
from parley_contracts.client_frames import CancelTurnFrame, ResumeTurnFrame, StartTurnFrame
from parley_contracts.errors import ErrorCode
from playwright.async_api import Browser, Page, expect

from tests.e2e.asking import ask, cite
from tests.fakes.gateway_page_server import CODE, StandInState
from tests.fakes.gateway_page_turns import ScriptedTurn

pytestmark = [pytest.mark.chromium, pytest.mark.asyncio(loop_scope="module")]

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


async def half_then_rest(turn: ScriptedTurn) -> None:
    await turn.stage("gathering")
    await turn.gate("context").wait()
    await turn.context(cite(1))
    await turn.stage("generating")
    await turn.say("The first ", "half ")
    await turn.gate("rest").wait()
    await turn.say("and **the", " rest** [1].")
    await turn.complete()


async def test_an_answer_streams_through_its_stages_and_names_its_sources(
    page: Page, state: StandInState
) -> None:
    state.scripts["Who writes?"] = half_then_rest
    await ask(page, "Who writes?")
    answer = page.get_by_test_id("answer")
    await expect(page.get_by_test_id("status")).to_have_text("Looking things up…")
    (await state.turn("Who writes?")).gate("context").set()
    await expect(answer).to_contain_text("The first half")
    await expect(page.get_by_test_id("status")).to_have_text("Writing…")
    (await state.turn("Who writes?")).gate("rest").set()
    await expect(answer).to_have_attribute("data-outcome", "completed")
    await expect(answer.locator("strong")).to_have_text("the rest")
    await expect(page.get_by_test_id("source")).to_have_text(re.compile(r"1\s*manual\.pdf\s*page 3"))
    await expect(page.get_by_test_id("meta")).to_have_text("Quotes only · 1.2 s")
    await expect(page.locator("#announcer")).to_contain_text("The first half and the rest")
    await expect(page.get_by_test_id("conversation")).to_have_count(1)
    assert page.url.endswith("#c=conv-1")


async def test_a_citation_opens_its_passage_marked_in_its_surroundings(
    page: Page, state: StandInState
) -> None:
    async def script(turn: ScriptedTurn) -> None:
        await turn.context(cite(1), cite(2, "site", url="https://example.com/a"), cite(3, page=None))
        await turn.say("One [1]. Web [2]. Gone [3]. Unknown [9].")
        await turn.complete()

    state.scripts["q"] = script
    state.passages["doc-1"] = {
        "document": {"name": "manual.pdf"},
        "before": "Before. ",
        "text": "The pen is passed.",
        "after": " After.",
        "page": 4,
    }
    await ask(page, "q")
    panel = page.get_by_test_id("passage")
    citations = page.get_by_test_id("citation")
    await expect(citations).to_have_text(["1", "2", "3"])
    await citations.nth(0).click()
    await expect(panel.locator("mark")).to_have_text("The pen is passed.")
    await expect(panel).to_contain_text("manual.pdf")
    await expect(panel).to_contain_text("page 4")
    await expect(panel.locator(".passage-text")).to_have_text("Before. The pen is passed. After.")
    await page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()
    await expect(citations.nth(0)).to_be_focused()
    await citations.nth(1).click()
    await expect(panel.get_by_role("link")).to_have_attribute("href", "https://example.com/a")
    await citations.nth(2).click()
    await expect(panel).to_contain_text("has been removed")
    await expect(panel.locator("mark")).to_have_text("The pen is passed.")


@pytest.mark.parametrize("is_memory_late", [False, True])
async def test_an_answer_goes_on_after_a_reload_in_the_middle(
    page: Page, state: StandInState, is_memory_late: bool
) -> None:
    state.is_memory_late = is_memory_late
    state.scripts["q"] = half_then_rest
    await ask(page, "q")
    turn = await state.turn("q")
    turn.gate("context").set()
    answer = page.get_by_test_id("answer")
    await expect(answer).to_contain_text("The first half")
    await page.reload()
    await expect(answer).to_contain_text("The first half")
    await expect(page.get_by_test_id("stop")).to_be_visible()
    turn.gate("rest").set()
    await expect(answer.locator(".prose")).to_have_text("The first half and the rest 1.")
    await expect(answer).to_have_count(1)
    await expect(page.get_by_test_id("question")).to_have_text(["q"])
    assert ResumeTurnFrame(type="resume_turn", turn_id=turn.turn_id, after_seq=0) in state.frames
    await page.reload()
    await expect(answer.locator(".prose")).to_have_text("The first half and the rest 1.")
    assert await page.evaluate("localStorage.length") == 0


async def test_a_question_whose_acceptance_was_lost_is_asked_once_more_after_a_reload(
    page: Page, state: StandInState
) -> None:
    state.scripts["q"] = half_then_rest
    kept = (
        '{"turn_id": "t-1", "conversation_id": null, "question": "q", "request": {"model": "m"},'
        ' "is_accepted": false, "after_seq": 0, "started_at_ms": %d}'
    )
    await page.evaluate(
        "text => localStorage.setItem('parley.turn.t-1', text.replace('%d', Date.now()))", kept
    )
    await page.reload()
    await expect(page.get_by_test_id("status")).to_have_text("Looking things up…")
    await expect(page.get_by_test_id("question")).to_have_text(["q"])
    starts = [frame for frame in state.frames if isinstance(frame, StartTurnFrame)]
    assert [(frame.turn_id, frame.model) for frame in starts] == [("t-1", "m")]
    await expect(page).to_have_url(re.compile(r"#c=conv-1$"))


async def test_a_broken_connection_is_mended_and_resumed_after_the_last_seq(
    page: Page, state: StandInState
) -> None:
    state.scripts["q"] = half_then_rest
    await ask(page, "q")
    turn = await state.turn("q")
    turn.gate("context").set()
    await expect(page.get_by_test_id("answer")).to_contain_text("The first half")
    state.is_refusing_sockets = True
    await state.drop_sockets()
    await expect(page.get_by_test_id("connection")).to_be_visible()
    state.is_refusing_sockets = False
    turn.gate("rest").set()
    await expect(page.locator(".prose")).to_have_text("The first half and the rest 1.")
    await expect(page.get_by_test_id("connection")).to_be_hidden()
    resumed = [frame for frame in state.frames if isinstance(frame, ResumeTurnFrame)]
    assert [frame.after_seq > 0 for frame in resumed] == [True]


async def test_a_turn_whose_log_has_expired_shows_the_stored_answer(page: Page, state: StandInState) -> None:
    state.scripts["q"] = half_then_rest
    await ask(page, "q")
    turn = await state.turn("q")
    turn.gate("context").set()
    await expect(page.get_by_test_id("answer")).to_contain_text("The first half")
    turn.expire(text="What was stored [1].")
    await state.drop_sockets()
    await expect(page.get_by_test_id("answer")).to_have_attribute("data-outcome", "completed")
    await expect(page.locator(".prose")).to_have_text("What was stored 1.")
    assert await page.evaluate("localStorage.length") == 0


async def test_events_that_come_twice_are_shown_once(page: Page, state: StandInState) -> None:
    async def script(turn: ScriptedTurn) -> None:
        await turn.say("One ", "two ")
        await turn.take_over(keep_chars=4)
        await turn.say("three.")
        await turn.complete()

    state.copies_of_frames = 2
    state.scripts["q"] = script
    await ask(page, "q")
    await expect(page.get_by_test_id("answer")).to_have_attribute("data-outcome", "completed")
    await expect(page.locator(".prose")).to_have_text("One three.")


async def test_text_that_went_missing_is_noticed_and_heard_again(page: Page, state: StandInState) -> None:
    async def script(turn: ScriptedTurn) -> None:
        await turn.say("One ", "two ")
        await turn.take_over(keep_chars=len("One two "))
        await turn.say("three.")
        await turn.complete()

    state.deltas_to_lose = 1
    state.scripts["q"] = script
    await ask(page, "q")
    await expect(page.locator(".prose")).to_have_text("One two three.")


async def test_a_new_epoch_truncates_by_code_points(page: Page, state: StandInState) -> None:
    async def script(turn: ScriptedTurn) -> None:
        await turn.say("👩‍🚀🎉 ok", " lost words")
        await turn.gate("die").wait()
        await turn.take_over(keep_chars=len("👩‍🚀🎉 ok"))
        await turn.say(" 🎯 and on")
        await turn.complete()

    state.scripts["q"] = script
    await ask(page, "q")
    await expect(page.locator(".prose")).to_have_text("👩‍🚀🎉 ok lost words")
    (await state.turn("q")).gate("die").set()
    await expect(page.locator(".prose")).to_have_text("👩‍🚀🎉 ok 🎯 and on")


@pytest.mark.parametrize("way", ["button", "escape"])
async def test_stop_cancels_the_turn_and_keeps_what_was_written(
    page: Page, state: StandInState, way: str
) -> None:
    state.scripts["q"] = half_then_rest
    await ask(page, "q")
    (await state.turn("q")).gate("context").set()
    answer = page.get_by_test_id("answer")
    await expect(answer).to_contain_text("The first half")
    await expect(page.get_by_test_id("send")).to_be_hidden()
    if way == "button":
        await page.get_by_test_id("stop").click()
    else:
        await page.keyboard.press("Escape")
    await expect(answer).to_have_attribute("data-outcome", "cancelled")
    await expect(answer.locator(".prose")).to_have_text("The first half")
    await expect(page.get_by_test_id("send")).to_be_visible()
    assert any(isinstance(frame, CancelTurnFrame) for frame in state.frames)


async def test_hostile_text_and_names_stay_text(page: Page, state: StandInState) -> None:
    async def script(turn: ScriptedTurn) -> None:
        await turn.context(cite(1, HOSTILE, url="javascript:document.title='owned'"), cite(2, HOSTILE))
        for line in (
            f"{HOSTILE} [1] [2]",
            "[link](javascript:document.title='owned') [data](data:text/html,x) ![i](http://127.0.0.1/x.png)",
            f"```html\n{HOSTILE}\n```",
            f"| {HOSTILE} |\n|---|\n| {HOSTILE} |",
            f"- {HOSTILE}\n> {HOSTILE}",
            "<http://example.com/\"onmouseover=\"document.title='owned'>",
        ):
            await turn.say(f"{line}\n\n")
        await turn.complete(degraded=[HOSTILE], model=HOSTILE)

    state.scripts[HOSTILE] = script
    await ask(page, HOSTILE)
    answer = page.get_by_test_id("answer")
    await expect(answer).to_have_attribute("data-outcome", "completed")
    await page.get_by_test_id("citation").first.click()
    await expect(page.get_by_test_id("passage")).to_contain_text("The pen is passed.")
    await expect(page.get_by_test_id("question")).to_have_text(HOSTILE)
    assert await page.locator("main img, main script, .passage img, .sidebar img").count() == 0
    assert await page.locator("a[href^='javascript'], a[href^='data'], [onmouseover]").count() == 0
    await expect(page).not_to_have_title("owned")


async def test_a_refused_turn_says_why_and_can_be_asked_again(page: Page, state: StandInState) -> None:
    async def fail_once(turn: ScriptedTurn) -> None:
        if len(state.turns) == 1:
            await turn.fail(ErrorCode.UPSTREAM_FAILED, "The model is away.", retryable=True)
        else:
            await turn.say("Back.")
            await turn.complete(degraded=["memory"])

    state.scripts["q"] = fail_once
    await ask(page, "q")
    await expect(page.get_by_test_id("failure")).to_contain_text("The model is away.")
    await page.get_by_test_id("retry").click()
    await expect(page.locator(".prose").last).to_have_text("Back.")
    await expect(page.get_by_test_id("degraded")).to_contain_text("earlier messages")


async def test_settled_blocks_are_not_rendered_again_while_an_answer_grows(
    page: Page, state: StandInState
) -> None:
    async def script(turn: ScriptedTurn) -> None:
        await turn.say("First *paragraph*.\n\n")
        await turn.say("```py\nx = 1\n")
        await turn.gate("mark").wait()
        await turn.say("y = 2\n```\n\n", "| a | b |\n|---|---|\n| 1 | 2 |\n\nEnd.")
        await turn.complete()

    state.scripts["q"] = script
    await ask(page, "q")
    await expect(page.locator(".code pre")).to_contain_text("x = 1")
    await page.evaluate("document.querySelectorAll('.prose > *').forEach((node) => (node.kept = true))")
    (await state.turn("q")).gate("mark").set()
    await expect(page.get_by_test_id("answer")).to_have_attribute("data-outcome", "completed")
    kept = await page.evaluate("[...document.querySelectorAll('.prose > *')].map((node) => !!node.kept)")
    assert kept == [True, True, False, False]
    assert await page.locator(".code pre").text_content() == "x = 1\ny = 2"
    await expect(page.locator(".prose td")).to_have_text(["1", "2"])


async def test_files_show_their_progress_or_why_they_failed(page: Page, state: StandInState) -> None:
    names = ("good.txt", "setup.exe", "locked.pdf", "stopped.txt", "box.zip")
    files = [(name, b"x") for name in names]
    await page.get_by_test_id("upload").set_input_files(
        [{"name": name, "mimeType": "text/plain", "buffer": data} for name, data in [*files, ("no.txt", b"")]]
    )
    items = page.get_by_test_id("upload-item")
    await expect(items.nth(0)).to_contain_text("Ready in my-files")
    await expect(items.nth(1)).to_contain_text("Programs cannot be read")
    await expect(items.nth(2)).to_contain_text("encrypted")
    await expect(items.nth(3)).to_contain_text("cancelled")
    await expect(items.nth(4)).to_contain_text("Ready in my-files · 5 files · 2 of 5 could not be read.")
    await expect(items.nth(5)).to_contain_text("empty")
    assert state.collections["my-files"] == 4


async def test_conversations_can_be_opened_renamed_and_deleted(page: Page, state: StandInState) -> None:
    state.titles.update({"a": "First", "b": "Second"})
    await page.reload()
    items = page.get_by_test_id("conversation")
    await expect(items).to_have_text(["Second", "First"])
    await page.get_by_role("link", name="First").click()
    await expect(page).to_have_url(re.compile(r"#c=a$"))
    await page.get_by_label("Rename “First”").click()
    await page.get_by_label("New title").fill("Renamed")
    await page.keyboard.press("Enter")
    await expect(items).to_have_text(["Second", "Renamed"])
    await expect(page.locator("#conversation-title")).to_have_text("Renamed")
    await items.nth(1).hover()
    await page.get_by_label("Delete “Renamed”").click()
    await page.get_by_test_id("confirm-delete").click()
    await expect(items).to_have_text(["Second"])
    await expect(page.get_by_test_id("empty")).to_be_visible()
    assert state.titles == {"b": "Second"}


async def test_the_choice_of_model_and_collections_travels_with_the_question(
    page: Page, state: StandInState
) -> None:
    state.scripts["q"] = half_then_rest
    await page.get_by_test_id("model").select_option("ollama/qwen3:4b")
    await page.get_by_test_id("collections").click()
    await page.get_by_role("checkbox", name="parley-docs").check()
    await ask(page, "q")
    await expect(page.get_by_test_id("status")).to_be_visible()
    frame = (await state.turn("q")).frame
    assert (frame.model, frame.collections, frame.web) == ("ollama/qwen3:4b", ("parley-docs",), False)


async def test_the_link_logs_in_and_leaves_no_code_in_the_address(
    browser: Browser, address: str, state: StandInState
) -> None:
    state.requires_login = True
    page = await browser.new_page()
    await page.goto(f"{address}/#c=conv-7")
    await expect(page.get_by_test_id("login-key")).to_be_visible()
    await page.get_by_test_id("login-key").fill("wrong")
    await page.get_by_test_id("login-submit").click()
    await expect(page.get_by_role("status")).to_contain_text("not known")
    await page.goto(f"{address}/login#code={CODE}")
    await expect(page.get_by_test_id("composer")).to_be_visible()
    assert page.url == f"{address}/#c=conv-7"
    await page.context.close()


async def test_the_provider_to_log_in_by_is_offered_and_a_refusal_is_told(
    browser: Browser, address: str, state: StandInState
) -> None:
    state.requires_login = True
    page = await browser.new_page()
    await page.goto(f"{address}/login")
    await expect(page.get_by_test_id("login-key")).to_be_visible()
    await expect(page.get_by_test_id("login-provider")).to_be_hidden()
    state.provider_label = "Log in with <b>Example</b>"
    await page.goto(f"{address}/login?again#oidc-refused")
    await expect(page.get_by_role("status")).to_contain_text("did not work")
    offered = page.get_by_test_id("login-provider")
    await expect(offered).to_have_text("Log in with <b>Example</b>")
    await offered.evaluate("link => link.addEventListener('click', event => event.preventDefault())")
    await page.evaluate("sessionStorage.setItem('parley.return', '#c=conv-7')")
    await offered.click()
    await expect(offered).to_have_attribute("href", re.compile(r"^/api/auth/oidc\?next=%2F%23c%3Dconv-7$"))
    await page.context.close()
