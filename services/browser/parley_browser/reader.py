"""Reads one page: through the proxy, in a context of its own, within its bounds."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from parley_contracts.browser import PageText
from parley_contracts.errors import ErrorCode, ParleyError
from parley_egress.address_policy import AddressPolicy

from parley_browser.chromium import Chromium
from parley_browser.clean_text import extract_main_text, tidy
from parley_browser.limits import ReadLimits
from parley_browser.main_frame import MainFrame, check_content_type
from parley_browser.proxy import FilteringProxy
from parley_browser.read_pass import ReadPass
from parley_browser.snapshot import Snapshot, take_snapshot

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page


class Places:
    """A bounded number of reads at a time, and a bounded number that wait for a place."""

    def __init__(self, *, concurrency: int, queue: int) -> None:
        self._free = asyncio.Semaphore(concurrency)
        self._queue = queue
        self._waiting = 0

    @asynccontextmanager
    async def take(self) -> AsyncGenerator[None]:
        """Hold one place; ParleyError (overloaded) when too many wait already."""
        if self._free.locked() and self._waiting >= self._queue:
            raise ParleyError(ErrorCode.OVERLOADED, "too many pages are being read; try again in a moment")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()


class PageReader:
    """Turns the URL of a public page into its clean text."""

    def __init__(
        self, *, policy: AddressPolicy, proxy: FilteringProxy, chromium: Chromium, limits: ReadLimits
    ) -> None:
        self._policy = policy
        self._proxy = proxy
        self._chromium = chromium
        self._limits = limits
        self._places = Places(concurrency=limits.concurrency, queue=limits.queue)

    async def read(self, url: str, max_chars: int) -> PageText:
        """Return the text of a page after its scripts ran; ParleyError says why when there is none."""
        self._policy.check_url(url)
        limit_s = self._limits.read_timeout_s
        try:
            async with asyncio.timeout(limit_s), self._places.take():
                return await self._read_in_context(url, max_chars)
        except TimeoutError as error:
            raise _timed_out(limit_s) from error

    async def _read_in_context(self, url: str, max_chars: int) -> PageText:
        from playwright.async_api import Error  # noqa: PLC0415 - loaded with the first read, as in chromium.py

        limits = self._limits
        with self._proxy.admit(
            max_bytes=limits.max_page_bytes, max_requests=limits.max_requests
        ) as read_pass:
            try:
                async with self._chromium.context(read_pass) as context:
                    return await self._read_page(context, read_pass, url, max_chars)
            except Error as error:
                # What is not told apart where it happens: the browser went away under the read.
                raise ParleyError(
                    ErrorCode.UNAVAILABLE, "the browser stopped while reading; try again"
                ) from error

    async def _read_page(
        self, context: "BrowserContext", read_pass: ReadPass, url: str, max_chars: int
    ) -> PageText:
        from playwright.async_api import Error  # noqa: PLC0415 - as above

        page = await context.new_page()
        main_frame = MainFrame(page, read_pass)
        await self._visit(page, main_frame, url)
        main_frame.check()
        # The page counts UTF-16 units: twice as many hold at least as many characters.
        snapshot = await take_snapshot(
            page, max_html_chars=self._limits.max_html_chars, max_text_chars=2 * (max_chars + 1)
        )
        final_url = page.url
        main_frame.check()
        if not final_url.startswith(("http://", "https://")):
            raise main_frame.fail(Error("the page led on to what could not be loaded"))
        check_content_type(snapshot.content_type)
        return await _page_text(snapshot, final_url, max_chars)

    async def _visit(self, page: "Page", main_frame: MainFrame, url: str) -> None:
        """Load a page and let it come to rest: its document within one bound, its scripts within another."""
        from playwright import async_api  # noqa: PLC0415 - as above

        limits = self._limits
        limit_s = limits.navigation_timeout_s
        try:
            async with main_frame.loading():
                await page.goto(url, wait_until="domcontentloaded", timeout=limit_s * 1000)
        except async_api.TimeoutError as error:
            main_frame.check()
            raise _timed_out(limit_s) from error
        except async_api.Error as error:
            if not self._chromium.is_running:
                raise
            raise main_frame.fail(error) from error
        except TimeoutError as error:
            raise main_frame.fail(error) from error
        with suppress(async_api.TimeoutError):
            await page.wait_for_load_state("networkidle", timeout=limits.quiet_timeout_s * 1000)


async def _page_text(snapshot: Snapshot, url: str, max_chars: int) -> PageText:
    text, is_cut = snapshot.text, snapshot.is_text_cut
    if snapshot.html is not None and not snapshot.content_type.startswith("text/plain"):
        # Parsing is work for the processor: in a thread it does not hold up other reads.
        text = await asyncio.to_thread(extract_main_text, snapshot.html, snapshot.text)
        is_cut = is_cut and text == snapshot.text
    clean = tidy(text)
    return PageText(
        url=tidy(url),
        title=" ".join(tidy(snapshot.title).split()),
        text=clean[:max_chars],
        is_truncated=is_cut or len(clean) > max_chars,
    )


def _timed_out(limit_s: float) -> ParleyError:
    return ParleyError(ErrorCode.TIMEOUT, f"url: the page was not read within {limit_s:g} s", field="url")
