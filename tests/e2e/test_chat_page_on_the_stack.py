"""The chat page in a real Chromium, served by a running stack: real brokers, services and embedding model."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio
from parley_cli.owner_secrets import login_link, new_login_code
from playwright.async_api import Browser, ConsoleMessage, Page, expect

from tests.conftest import fetched_model
from tests.fakes.page_browser import open_browser
from tests.integration.library import ingest_library
from tests.integration.stack import Stack, open_stack
from tests.integration.waiting import eventually

pytestmark = [
    pytest.mark.stack,
    pytest.mark.chromium,
    pytest.mark.model,
    pytest.mark.nats,
    pytest.mark.redis,
    pytest.mark.asyncio(loop_scope="module"),
]

DELTA_MS = "250"
"""An answer takes about five seconds: time to reload, to stop, and to look on from elsewhere."""
NO_OLLAMA = "http://127.0.0.1:9"
SERVICES = ("llm", "npu", "rag", "memory")
QUESTION = "When is the lamp of the Skerry lighthouse lit, and where is the powder for the cannon stored?"
NOTE = b"""# Orchard

The pear trees of the Amberley orchard are pruned in February. Their pears are picked in the third week of
September and kept in straw until Christmas.
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stack]:
    """Two gateways and what answers take, with a few documents, and answers that are written word by word."""
    environment = {"OLLAMA_HOST": NO_OLLAMA, "PARLEY_LLM_EXTRACTIVE_DELTA_MS": DELTA_MS}
    async with open_stack(
        tmp_path_factory.mktemp("page"),
        model_dir=fetched_model().directory,
        gateways=2,
        services=SERVICES,
        environment=environment,
    ) as stack:
        await ingest_library(stack)
        yield stack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncGenerator[Browser]:
    async with open_browser() as browser:
        yield browser


@asynccontextmanager
async def visitor(browser: Browser) -> AsyncGenerator[Page]:
    """A browser of its own; whatever its console calls an error fails the test."""
    context = await browser.new_context()
    page = await context.new_page()
    page.set_default_timeout(15_000)
    complaints: list[str] = []

    def heed(message: ConsoleMessage) -> None:
        if message.type == "error" or "Security Policy" in message.text:
            complaints.append(message.text)

    page.on("console", heed)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    await context.close()
    assert complaints == []


async def log_in(page: Page, stack: Stack, gateway: int = 0) -> None:
    code = new_login_code(stack.folder / "secrets")
    await page.goto(login_link(stack.url(gateway), code))
    await expect(page.get_by_test_id("empty")).to_be_visible()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, stack: Stack) -> AsyncGenerator[Page]:
    """The chat page of somebody who has logged in."""
    async with visitor(browser) as page:
        await log_in(page, stack)
        yield page


async def ask(page: Page, question: str = QUESTION) -> None:
    await page.get_by_test_id("composer").fill(question)
    await page.get_by_test_id("composer").press("Enter")


async def written(page: Page) -> str:
    """Return the text that the page shows of the answer, without its citation numbers."""
    return await page.locator(".prose").evaluate("""prose => {
      const copy = prose.cloneNode(true);
      copy.querySelectorAll(".cite").forEach(cite => cite.remove());
      return copy.textContent.replace(/\\s+/g, "");
    }""")


async def wait_until_written(page: Page, chars: int) -> str:
    async def is_written() -> bool:
        return len(await written(page)) >= chars

    await eventually(is_written)
    return await written(page)


async def wait_for_end(page: Page, outcome: str = "completed") -> None:
    answer = page.get_by_test_id("answer")
    await expect(answer).to_have_attribute("data-outcome", outcome, timeout=30_000)
    await expect(answer).to_have_count(1)


async def stored_messages(page: Page, stack: Stack, roles: int = 2) -> list[dict[str, Any]]:
    """Return the messages of the open conversation once all are stored."""
    conversation_id = page.url.partition("#c=")[2]
    found: list[dict[str, Any]] = []
    async with stack.http() as client:

        async def are_stored() -> bool:
            response = await client.get(f"/api/conversations/{conversation_id}")
            found[:] = response.json()["messages"] if response.status_code == 200 else []
            return len(found) >= roles

        await eventually(are_stored)
    return found


def as_shown(markdown: str) -> str:
    """Return what stays of a quoting answer's Markdown on the page, without citations and white space."""
    without_marks = re.sub(r"\[\d+(?:, \d+)*\]|^\s*- |\*\*|`", "", markdown, flags=re.MULTILINE)
    return re.sub(r"\s+", "", without_marks)


async def test_the_link_logs_in_and_leaves_no_key_behind(browser: Browser, stack: Stack) -> None:
    async with visitor(browser) as page:
        await log_in(page, stack)
        assert page.url == f"{stack.url()}/"
        assert stack.owner_key not in await page.evaluate("JSON.stringify([localStorage, sessionStorage])")
        assert await page.evaluate("document.cookie") == ""
        await expect(page.get_by_test_id("empty")).to_contain_text("Ask about your documents")


async def test_who_is_not_logged_in_is_asked_for_the_key_and_led_back(
    page: Page, browser: Browser, stack: Stack
) -> None:
    await ask(page)
    await wait_for_end(page)
    async with visitor(browser) as other:
        await other.goto(page.url)
        await other.get_by_test_id("login-key").fill(stack.owner_key)
        await other.get_by_test_id("login-submit").click()
        await expect(other.get_by_test_id("question")).to_have_text([QUESTION])
        assert other.url == page.url


async def test_logging_out_ends_the_session_and_forgets_what_was_typed(page: Page, stack: Stack) -> None:
    await page.get_by_test_id("composer").fill("a draft")
    await page.get_by_test_id("log-out").click()
    await expect(page.locator("#login-status")).to_have_text("You are logged out.")
    assert await page.context.cookies() == []
    assert await page.evaluate("localStorage.length + sessionStorage.length") == 0


async def test_an_answer_grows_on_the_page_while_its_turn_runs(page: Page, stack: Stack) -> None:
    await ask(page)
    answer = page.get_by_test_id("answer")
    seen = [await wait_until_written(page, chars) for chars in (10, 40, 80)]
    assert await answer.get_attribute("data-outcome") == "running"
    await wait_for_end(page)
    seen.append(await written(page))
    assert all(later.startswith(earlier) for earlier, later in pairwise(seen))
    # A machine that is busy shows several pieces at once, but never all of them.
    assert len(seen[0]) < len(seen[-1])
    _, assistant = await stored_messages(page, stack)
    assert seen[-1] == as_shown(assistant["text"])


async def test_a_citation_opens_the_file_it_rests_on_with_the_passage_marked(page: Page) -> None:
    await ask(page)
    await wait_for_end(page)
    panel = page.get_by_test_id("passage")
    await page.get_by_test_id("citation").first.click()
    await expect(panel.get_by_role("heading")).to_have_text("lighthouse.md")
    await expect(panel.locator("mark")).to_contain_text("lit every evening at half past six")
    await expect(panel).to_contain_text("Skerry lighthouse")
    await page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()


async def test_an_answer_goes_on_to_its_end_after_reloads_in_the_middle(page: Page, stack: Stack) -> None:
    await ask(page)
    for chars in (10, 40):
        before = await wait_until_written(page, chars)
        await page.reload()
        assert (await wait_until_written(page, len(before))).startswith(before)
    await wait_for_end(page)
    await expect(page.get_by_test_id("question")).to_have_text([QUESTION])
    user, assistant = await stored_messages(page, stack)
    assert (user["text"], assistant["outcome"]) == (QUESTION, "completed")
    assert len(before) < len(await written(page))
    assert await written(page) == as_shown(assistant["text"])
    await page.reload()
    await expect(page.get_by_test_id("source").first).to_contain_text("lighthouse.md")
    assert await written(page) == as_shown(assistant["text"])


async def test_another_browser_at_another_gateway_sees_the_same_running_turn(
    page: Page, browser: Browser, stack: Stack
) -> None:
    async with visitor(browser) as other:
        await log_in(other, stack, gateway=1)
        await ask(page)
        await wait_until_written(page, 20)
        await other.goto(f"{stack.url(1)}/#c={page.url.partition('#c=')[2]}")
        await wait_until_written(other, 40)
        await expect(other.get_by_test_id("stop")).to_be_visible()
        await wait_for_end(other)
        await wait_for_end(page)
        assert await written(other) == await written(page)
        await expect(other.get_by_test_id("citation").first).to_be_visible()


async def test_stop_ends_the_turn_and_what_was_written_is_kept(page: Page, stack: Stack) -> None:
    await ask(page)
    await wait_until_written(page, 20)
    await page.get_by_test_id("stop").click()
    await wait_for_end(page, "cancelled")
    await expect(page.get_by_test_id("send")).to_be_visible()
    _, assistant = await stored_messages(page, stack)
    assert assistant["outcome"] == "cancelled"
    assert await written(page) == as_shown(assistant["text"])
    await page.reload()
    await wait_for_end(page, "cancelled")
    assert await written(page) == as_shown(assistant["text"])


async def test_a_file_that_was_added_can_be_asked_about(page: Page) -> None:
    note = {"name": "orchard.md", "mimeType": "text/markdown", "buffer": NOTE}
    broken = {"name": "broken.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.4 nothing"}
    await page.get_by_test_id("upload").set_input_files([note, broken])  # pyright: ignore[reportArgumentType] - typed as FilePayload
    rows = page.get_by_test_id("upload-item")
    await expect(rows.nth(0)).to_contain_text("Ready in my-files")
    await expect(rows.nth(1)).to_have_attribute("data-state", "failed")
    await ask(page, "When are the pears of the Amberley orchard picked?")
    await wait_for_end(page)
    await expect(page.locator(".prose")).to_contain_text("third week of September")
    await expect(page.get_by_test_id("source").first).to_contain_text("orchard.md")


async def test_what_no_document_answers_is_said_so_without_sources(page: Page) -> None:
    await ask(page, "How much does a giraffe weigh?")
    await wait_for_end(page)
    await expect(page.locator(".prose")).to_contain_text("I have nothing to quote about that")
    await expect(page.get_by_test_id("source")).to_have_count(0)


async def test_the_documentation_of_the_api_renders_without_another_host(
    browser: Browser, stack: Stack
) -> None:
    async with visitor(browser) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(f"{stack.url()}/docs")
        await expect(page.locator("#swagger-ui .opblock").first).to_be_visible(timeout=30_000)
        assert [url for url in asked if not url.startswith((stack.url(), "data:", "blob:"))] == []
