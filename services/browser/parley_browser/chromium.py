"""The system's Chromium, driven by Playwright: started on first use, closed when idle, renewed on a crash."""

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from parley_contracts.errors import ErrorCode, ParleyError

from parley_browser.read_pass import ReadPass

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Playwright

log = logging.getLogger("parley.browser")

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_START_TIMEOUT_S = 30.0
_CLOSE_TIMEOUT_S = 5.0

# What Chromium may see of this process's environment: settings and keys stay out of its reach.
_ENVIRONMENT = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")

_FLAGS = (
    # Every name and address but the proxy's own fails to resolve, so nothing connects around the proxy.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--proxy-bypass-list=<-loopback>",
    "--disable-quic",
    # WebRTC opens sockets of its own; the flag's name depends on the version.
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--dns-prefetch-disable",
    "--no-pings",
    "--block-new-web-contents",
    "--disable-background-networking",
    "--disable-client-side-phishing-detection",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--disable-gpu",
    "--mute-audio",
    "--blink-settings=imagesEnabled=false",
)


def find_executable(configured: str | None) -> str:
    """Return the path of Chromium's program; ParleyError (unavailable) that says how to get one."""
    if configured is not None:
        found = shutil.which(configured)
        problem = f"{configured} (PARLEY_BROWSER_EXECUTABLE) is not an executable file"
    else:
        found = next((path for path in map(shutil.which, _NAMES) if path), None)
        problem = "no Chromium was found on PATH"
    if found is None:
        how = "install it (Debian: apt-get install chromium) or set PARLEY_BROWSER_EXECUTABLE to its path"
        raise ParleyError(ErrorCode.UNAVAILABLE, f"pages cannot be read: {problem}; {how}", retryable=False)
    return found


class Chromium:
    """One Chromium process at most, lent out one fresh context a read."""

    def __init__(self, *, executable: str | None, proxy_url: str, idle_s: float) -> None:
        self._executable = executable
        self._proxy_url = proxy_url
        self._idle_s = idle_s
        self._changing = asyncio.Lock()
        self._contexts = 0
        self._use_changed = asyncio.Event()
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None

    @property
    def is_running(self) -> bool:
        return self._browser is not None and self._browser.is_connected()

    async def check(self) -> None:
        """Raise ParleyError (unavailable) when there is no program to start; starts nothing."""
        find_executable(self._executable)

    @asynccontextmanager
    async def context(self, read_pass: ReadPass) -> AsyncGenerator["BrowserContext"]:
        """Lend a context that reaches the network with `read_pass` only; it is wiped on exit."""
        self._contexts += 1
        self._use_changed.set()
        try:
            browser, context = await self._open_context(read_pass)
            try:
                yield context
            finally:
                await self._wipe(browser, context)
        finally:
            self._contexts -= 1
            self._use_changed.set()

    async def close_when_idle(self) -> None:
        """Close Chromium whenever it has had nothing to read for the idle time; runs until cancelled."""
        while True:
            await self._use_changed.wait()
            self._use_changed.clear()
            if self._contexts:
                continue
            try:
                async with asyncio.timeout(self._idle_s):
                    await self._use_changed.wait()
            except TimeoutError:
                await self._close_if_unused()

    async def close(self) -> None:
        """Close Chromium and the driver, whatever state they are in."""
        async with self._changing:
            await self._stop()

    async def _close_if_unused(self) -> None:
        async with self._changing:
            if not self._contexts and self._playwright is not None:
                log.info("chromium closed after idle time", extra={"idle_s": self._idle_s})
                await self._stop()

    async def _open_context(self, read_pass: ReadPass) -> tuple["Browser", "BrowserContext"]:
        """Open a context; a browser that cannot is replaced, once."""
        from playwright.async_api import Error  # noqa: PLC0415 - as in _start

        browser = await self._running_browser()
        try:
            return browser, await self._new_context(browser, read_pass)
        except Error:
            # A driver that died does not say so before it is used.
            await self._give_up(browser)
        browser = await self._running_browser()
        return browser, await self._new_context(browser, read_pass)

    async def _new_context(self, browser: "Browser", read_pass: ReadPass) -> "BrowserContext":
        return await browser.new_context(
            proxy={
                "server": self._proxy_url,
                "username": read_pass.username,
                "password": read_pass.password,
            },
            accept_downloads=False,
            service_workers="block",
            permissions=[],
        )

    async def _give_up(self, browser: "Browser") -> None:
        async with self._changing:
            if self._browser is browser:
                log.warning("chromium is given up: it opens or closes no context")
                await self._stop()

    async def _running_browser(self) -> "Browser":
        async with self._changing:
            if self._browser is None or not self._browser.is_connected():
                await self._stop()
                self._browser = await self._start()
            return self._browser

    async def _start(self) -> "Browser":
        from playwright.async_api import Error, async_playwright  # noqa: PLC0415 - 30 MB, for the first read

        executable = find_executable(self._executable)
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                self._playwright = await async_playwright().start()
                browser = await self._playwright.chromium.launch(
                    executable_path=executable,
                    args=list(_FLAGS),
                    # As root the sandbox cannot be set up.
                    chromium_sandbox=os.geteuid() != 0,
                    proxy={"server": self._proxy_url},
                    env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                    handle_sigint=False,
                    handle_sigterm=False,
                    handle_sighup=False,
                )
        except (Error, TimeoutError) as error:
            log.exception("chromium did not start", extra={"executable": executable})
            await self._stop()
            raise ParleyError(ErrorCode.UNAVAILABLE, "the browser did not start; try again later") from error
        log.info("chromium started", extra={"version": browser.version})
        return browser

    async def _stop(self) -> None:
        """Close the browser, then the driver, which kills what is left of it."""
        from playwright.async_api import Error  # noqa: PLC0415 - as in _start

        browser, self._browser = self._browser, None
        playwright, self._playwright = self._playwright, None
        if browser is not None:
            with suppress(Error, TimeoutError):
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await browser.close()
        if playwright is not None:
            with suppress(Error, TimeoutError):
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await playwright.stop()

    async def _wipe(self, browser: "Browser", context: "BrowserContext") -> None:
        """Close a context; a browser that cannot do so in time is given up for a new one."""
        from playwright.async_api import Error  # noqa: PLC0415 - as in _start

        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await context.close()
        except (Error, TimeoutError):
            await self._give_up(browser)


@asynccontextmanager
async def open_chromium(*, executable: str | None, proxy_url: str, idle_s: float) -> AsyncGenerator[Chromium]:
    """Hold a Chromium that is not started yet, and close what was started."""
    chromium = Chromium(executable=executable, proxy_url=proxy_url, idle_s=idle_s)
    try:
        yield chromium
    finally:
        await chromium.close()
