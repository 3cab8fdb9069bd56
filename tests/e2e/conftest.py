"""The chat page in a browser, over a stand-in gateway; files that need another page have their own."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.fakes.gateway_page_server import StandInState, serve_page
from tests.fakes.page_browser import open_browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncGenerator[Browser]:
    async with open_browser() as browser:
        yield browser


@pytest.fixture
def state() -> StandInState:
    return StandInState()


@pytest_asyncio.fixture(loop_scope="module")
async def address(state: StandInState) -> AsyncGenerator[str]:
    async with serve_page(state) as address:
        yield address


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, address: str) -> AsyncGenerator[Page]:
    """The open chat page; breaches of the Content-Security-Policy and script errors fail the test."""
    page = await browser.new_page()
    page.set_default_timeout(8_000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: complaints.append(message.text) if "Security Policy" in message.text else None,
    )
    await page.goto(address)
    yield page
    await page.context.close()
    assert complaints == []
