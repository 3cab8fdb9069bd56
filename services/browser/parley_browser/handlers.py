"""The browser's subjects and what answers them."""

from parley_contracts import subjects
from parley_contracts.browser import PageText, ReadPage
from parley_messaging import Service

from parley_browser.metrics import ReadMetrics
from parley_browser.reader import PageReader


class BrowserHandlers:
    """Answers requests to read a page."""

    def __init__(self, reader: PageReader, metrics: ReadMetrics) -> None:
        self._reader = reader
        self._metrics = metrics

    async def read(self, request: ReadPage) -> PageText:
        with self._metrics.measure():
            return await self._reader.read(request.url, request.max_chars)


def bind(service: Service, handlers: BrowserHandlers, *, concurrency: int) -> None:
    """Answer reads; `concurrency` leaves room for those that wait and those that are refused."""
    service.answer(subjects.BROWSER_READ, ReadPage, handlers.read, concurrency=concurrency)
