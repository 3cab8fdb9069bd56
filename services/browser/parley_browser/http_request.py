"""The tool `http_request`: one GET or POST to a host that the operator allows."""

import re
from collections.abc import Mapping
from typing import Literal

from parley_contracts.browser import MAX_URL_CHARS
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.tool_calls import CallTool, ToolResult
from parley_egress import Answer, Asked, ExchangeError, Exchanger, TargetRefusedError
from parley_egress.address_policy import refuse_url, target_of_url
from parley_messaging.tool_arguments import ToolArguments
from pydantic import Field

from parley_browser.http_hosts import HttpHosts

MAX_BODY_CHARS = 20_000
_MEDIA_TYPE = r"^[a-z0-9.+-]+/[a-z0-9.+-]+(; ?charset=[A-Za-z0-9-]+)?$"
_CHARSET = re.compile(r"charset=\"?([A-Za-z0-9_-]+)")
_TEXTUAL = re.compile(
    r"^(text/|application/([a-z0-9.-]+\+)?(json|xml|yaml|javascript|x-www-form-urlencoded))"
)


class HttpRequest(ToolArguments):
    """What is to be asked."""

    url: str = Field(min_length=1, max_length=MAX_URL_CHARS, description="http:// or https://.")
    method: Literal["GET", "POST"] = "GET"
    body: str | None = Field(default=None, max_length=MAX_BODY_CHARS, description="Of a POST.")
    content_type: str = Field(
        default="application/json", pattern=_MEDIA_TYPE, max_length=100, description="Of the body."
    )


class HttpTool:
    """Asks allowed hosts. It sends no cookies and no credentials, and follows no redirect."""

    def __init__(self, hosts: HttpHosts, exchanger: Exchanger) -> None:
        self._hosts = hosts
        self._exchanger = exchanger

    async def run(self, call: CallTool) -> ToolResult:
        """Return what a host answers, status first."""
        asked = HttpRequest.read(call.arguments)
        if asked.method == "GET" and asked.body is not None:
            raise ParleyError(ErrorCode.INVALID_REQUEST, "body: a GET has none.", field="body")
        if not self._hosts.allows(target_of_url(asked.url)):
            raise ParleyError(
                ErrorCode.FORBIDDEN, "url: the operator allows no requests to this host.", field="url"
            )
        body = (asked.body or "").encode() if asked.method == "POST" else None
        try:
            answer = await self._exchanger.exchange(
                Asked(asked.method, asked.url, body, _headers(asked, call))
            )
        except TargetRefusedError:
            refuse_url()
        except ExchangeError as error:
            raise ParleyError(ErrorCode.UPSTREAM_FAILED, f"url: {error}.", field="url") from error
        return ToolResult(text=_told(answer), is_error=answer.status >= 400)


def _headers(asked: HttpRequest, call: CallTool) -> Mapping[str, str]:
    found = {
        "User-Agent": "Parley",
        "Accept": "application/json, text/*;q=0.9",
        "Accept-Encoding": "identity",
    }
    if asked.method == "POST":
        found["Content-Type"] = asked.content_type
        # A call whose end was not noted is made again; a server that knows this header does it once.
        found["Idempotency-Key"] = f"{call.turn_id}-{call.call_id}"
    return found


def _told(answer: Answer) -> str:
    kind = answer.header("content-type") or "application/octet-stream"
    head = [f"HTTP status {answer.status}", f"content-type: {kind[:200]}"]
    if (location := answer.header("location")) is not None:
        head.append(f"location: {location[:2000]}")
    if answer.is_cut:
        head.append("(the body is cut)")
    return "\n".join([*head, "", _text(answer, kind)])


def _text(answer: Answer, kind: str) -> str:
    if not answer.body:
        return "(no body)"
    if not _TEXTUAL.match(kind.lower()):
        return f"(not text: {len(answer.body):,} bytes)"
    charset = _CHARSET.search(kind)
    try:
        return answer.body.decode(charset[1] if charset else "utf-8", errors="replace")
    except (LookupError, UnicodeError):
        return answer.body.decode(errors="replace")
