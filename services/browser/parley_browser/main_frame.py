"""Watches where a page's main frame goes, and says in our own words why a visit came to nothing."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from parley_contracts.errors import ErrorCode, ParleyError
from parley_egress.address_policy import HostPort, refuse_url, target_of_url

from parley_browser.read_pass import ReadPass

if TYPE_CHECKING:
    from playwright.async_api import Page, Request, Response

_READABLE_TYPES = frozenset({"text/html", "application/xhtml+xml", "text/plain"})
_BREAK_OFF_GRACE_S = 0.5
_NET_ERROR = re.compile(r"net::(ERR_[A-Z0-9_]+)")


def check_content_type(content_type: str) -> None:
    """Raise ParleyError (unsupported_type) unless the type is one that is read; parameters are ignored."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in _READABLE_TYPES:
        raise ParleyError(
            ErrorCode.UNSUPPORTED_TYPE,
            f"url: only HTML and plain text pages are read, this is {media_type[:100]}",
            field="url",
        )


class MainFrame:
    """The navigations of one page's main frame: the targets asked for and the last response."""

    def __init__(self, page: "Page", read_pass: ReadPass) -> None:
        self._page = page
        self._read_pass = read_pass
        self._targets: list[HostPort] = []
        self._response: Response | None = None
        self._has_crashed = False
        self._request: Request | None = None
        self._failure: str | None = None
        self._patience: asyncio.Timeout | None = None
        page.on("request", self._on_request)
        page.on("response", self._on_response)
        page.on("requestfailed", self._on_request_failed)
        page.on("crash", self._on_crash)

    @asynccontextmanager
    async def loading(self) -> AsyncGenerator[None]:
        """Raise TimeoutError when the document breaks off, after which Chromium reports nothing more."""
        async with asyncio.timeout(None) as patience:
            self._patience = patience
            try:
                yield
            finally:
                self._patience = None

    def check(self) -> None:
        """Raise ParleyError when the visit led to a refused address, an error or an unreadable type."""
        self._check_addresses()
        if self._has_crashed:
            raise ParleyError(
                ErrorCode.UPSTREAM_FAILED, "url: the page crashed the browser's tab", field="url"
            )
        response = self._response
        if response is None:
            return
        if response.status >= 400:
            raise ParleyError(
                ErrorCode.UPSTREAM_FAILED,
                f"url: the site answered with HTTP status {response.status}",
                retryable=response.status >= 500 or response.status in (408, 429),
                field="url",
            )
        content_type = response.headers.get("content-type")
        if content_type:
            check_content_type(content_type)

    def fail(self, error: Exception) -> ParleyError:
        """Return what a client may be told about a visit that ended in `error`; refusals come first."""
        self.check()
        if self._read_pass.is_over_limit:
            return ParleyError(
                ErrorCode.TOO_LARGE, "url: the page is larger than what may be read", field="url"
            )
        found = _NET_ERROR.search(f"{error} {self._failure}")
        reason = found[1] if found else "no reason given"
        return ParleyError(
            ErrorCode.UPSTREAM_FAILED, f"url: the page could not be loaded ({reason})", field="url"
        )

    def _check_addresses(self) -> None:
        if any(target in self._read_pass.refused for target in self._targets):
            refuse_url()
        if self._targets and self._targets[-1] in self._read_pass.unreachable:
            raise ParleyError(ErrorCode.UPSTREAM_FAILED, "url: the site cannot be reached", field="url")

    def _on_request(self, request: "Request") -> None:
        self._read_pass.count_request()
        if not self._leads(request):
            return
        self._request, self._response = request, None
        try:
            self._targets.append(target_of_url(request.url))
        except ParleyError:
            # Not http: Chromium has no way to fetch it here, and the final URL is checked by the reader.
            return

    def _on_response(self, response: "Response") -> None:
        if self._leads(response.request):
            self._response = response

    def _on_request_failed(self, request: "Request") -> None:
        if request is not self._request:
            return
        self._failure = request.failure
        patience, self._patience = self._patience, None
        if patience is not None:
            # A navigation that fails as a whole is told by Chromium itself, and in more detail.
            patience.reschedule(asyncio.get_running_loop().time() + _BREAK_OFF_GRACE_S)

    def _on_crash(self, page: "Page") -> None:
        del page
        self._has_crashed = True

    def _leads(self, request: "Request") -> bool:
        return request.is_navigation_request() and request.frame == self._page.main_frame
