"""A web site, a trap and a reader of pages for tests with real Chromium."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from parley_browser.chromium import Chromium, open_chromium
from parley_browser.limits import ReadLimits
from parley_browser.proxy import open_proxy
from parley_browser.reader import PageReader
from parley_contracts.browser import PageText
from parley_contracts.errors import ParleyError
from parley_egress.address_policy import AddressPolicy, parse_allow_hosts

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def http_response(
    body: str | bytes, *, status: int = 200, content_type: str = "text/html; charset=utf-8", headers: str = ""
) -> bytes:
    payload = body.encode() if isinstance(body, str) else body
    kind = f"Content-Type: {content_type}\r\n" if content_type else ""
    head = f"HTTP/1.1 {status} Status\r\n{kind}{headers}Content-Length: {len(payload)}\r\n\r\n"
    return head.encode() + payload


def redirect(url: str) -> bytes:
    return http_response("", status=302, headers=f"Location: {url}\r\n")


async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer nothing until the client leaves."""
    del writer
    await reader.read()


class Site:
    """Answers each path with fixed bytes or a coroutine, and keeps the paths asked for."""

    def __init__(self) -> None:
        self.port = 0
        self.pages: dict[str, bytes | Answer] = {}
        self.asked: list[str] = []
        self.has_been_asked = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1].decode()
            self.asked.append(path)
            self.has_been_asked.set()
            page = self.pages.get(path, http_response("not here", status=404))
            if isinstance(page, bytes):
                writer.write(page)
            else:
                await page(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


class Trap(asyncio.DatagramProtocol):
    """A TCP and UDP port of this machine that no page may reach; it counts who comes."""

    def __init__(self) -> None:
        self.visits = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        self.visits += 1
        writer.write(http_response("the secret"))
        writer.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        del data, addr
        self.visits += 1


class Browser:
    """A reader that may reach one site, and the Chromium behind it."""

    def __init__(self, reader: PageReader, chromium: Chromium, marker: str) -> None:
        self._reader = reader
        self.chromium = chromium
        self._marker = marker

    async def read(self, url: str, max_chars: int = 20_000) -> PageText:
        return await self._reader.read(url, max_chars)

    async def error_of(self, url: str) -> ParleyError:
        with pytest.raises(ParleyError) as caught:
            await self.read(url)
        return caught.value

    def main_processes(self) -> list[int]:
        """Return the ids of the main Chromium processes that use this reader's proxy."""
        return [pid for pid, command in commands() if self._marker in command and "--type=" not in command]

    def processes(self) -> list[int]:
        """Return the ids of all Chromium processes of this reader, found by its profile folder."""
        folders = {
            argument
            for _, command in commands()
            if self._marker in command
            for argument in command.split("\0")
            if argument.startswith("--user-data-dir=")
        }
        return [pid for pid, command in commands() if any(folder in command for folder in folders)]


def commands() -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found.append((int(folder.name), (folder / "cmdline").read_text(errors="replace")))
        except OSError:
            continue
    # A process that has ended and is not yet reaped has no command line.
    return [(pid, command) for pid, command in found if command]


def driver_processes() -> set[int]:
    parent = f"PPid:\t{os.getpid()}\n"
    return {
        pid
        for pid, command in commands()
        if "playwright/driver" in command and parent in Path(f"/proc/{pid}/status").read_text()
    }


@asynccontextmanager
async def open_browser(
    site: Site, limits: ReadLimits | None = None, *, executable: str | None = None, idle_s: float = 60.0
) -> AsyncGenerator[Browser]:
    policy = AddressPolicy(parse_allow_hosts(f"127.0.0.1:{site.port}"))
    chosen = limits or ReadLimits(navigation_timeout_s=8.0, quiet_timeout_s=1.5, read_timeout_s=20.0)
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(open_proxy(policy))
        chromium = await stack.enter_async_context(
            open_chromium(executable=executable, proxy_url=proxy.url, idle_s=idle_s)
        )
        reader = PageReader(policy=policy, proxy=proxy, chromium=chromium, limits=chosen)
        yield Browser(reader, chromium, f"--proxy-server={proxy.url}")
