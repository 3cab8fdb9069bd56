"""The system's Chromium for tests of pages."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright


@asynccontextmanager
async def open_browser() -> AsyncGenerator[Browser]:
    """Yield a Chromium that runs as root and calls nobody by itself."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        await browser.close()
