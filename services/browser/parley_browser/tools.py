"""The tools that this service answers: a page's text, and a request to a host that the operator allows."""

from parley_contracts import subjects
from parley_contracts.browser import MAX_URL_CHARS, PageText, ReadPage
from parley_contracts.tool_calls import CallTool, ToolResult
from parley_messaging import Service
from parley_messaging.tool_arguments import ToolArguments
from parley_messaging.tool_offers import ToolOffers
from pydantic import Field

from parley_browser.handlers import BrowserHandlers
from parley_browser.http_request import HttpRequest, HttpTool

MAX_PAGE_CHARS = 40_000


class ReadPageArguments(ToolArguments):
    """Which page is to be read."""

    url: str = Field(min_length=1, max_length=MAX_URL_CHARS, description="http:// or https://.")


class PageTool:
    """Reads pages as for everybody else who asks this service for one."""

    def __init__(self, handlers: BrowserHandlers) -> None:
        self._handlers = handlers

    async def run(self, call: CallTool) -> ToolResult:
        """Return a page's title, address and text."""
        asked = ReadPageArguments.read(call.arguments)
        request = ReadPage(owner_id=call.owner_id, url=asked.url, max_chars=MAX_PAGE_CHARS)
        return ToolResult(text=_told(await self._handlers.read(request)))


def _told(page: PageText) -> str:
    return f"{page.title}\n{page.url}\n\n{page.text}" if page.text else "The page has no text."


async def offer_tools(
    service: Service, handlers: BrowserHandlers, http: HttpTool | None, *, concurrency: int
) -> None:
    """Offer what this service can do for models; no HTTP where no host is allowed."""
    offers = ToolOffers(service.bus, service.name)
    described = "Reads the text of a public web page, after its scripts ran."
    spec = ReadPageArguments.spec("read_page", described)
    offers.add(subjects.TOOL_READ_PAGE, spec, PageTool(handlers).run, concurrency=concurrency)
    if http is not None:
        described = "Sends one HTTP request to a host that is allowed, and returns what it answers."
        spec = HttpRequest.spec("http_request", described)
        offers.add(subjects.TOOL_HTTP_REQUEST, spec, http.run)
    await offers.start()
    service.spawn(offers.run)
