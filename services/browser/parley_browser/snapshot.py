"""Takes out of a page what is read of it, out of reach of the page's own scripts."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# Playwright types what DevTools answers as a bare dict.

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from playwright.async_api import Page

_ATTEMPTS = 3

# The getters are called from their prototype: a page can hide `document.title` behind a form of that name.
_SCRIPT = """
((maxHtml, maxText) => {
  const read = (name) => Object.getOwnPropertyDescriptor(Document.prototype, name).get.call(document);
  const root = read("documentElement");
  const body = read("body");
  const html = root ? root.outerHTML : "";
  const text = (body && body.innerText) || (root && root.textContent) || "";
  return {
    content_type: read("contentType"),
    title: read("title").slice(0, 1000),
    html: html.length > maxHtml ? null : html,
    text: text.slice(0, maxText),
    is_text_cut: text.length > maxText,
  };
})(%d, %d)
"""


class Snapshot(BaseModel):
    """A page as it stands; `html` is None when it is longer than asked for, `text` is cut to what is."""

    content_type: str
    title: str
    html: str | None
    text: str
    is_text_cut: bool


async def take_snapshot(page: "Page", *, max_html_chars: int, max_text_chars: int) -> Snapshot:
    """Return the page as it stands; a navigation meanwhile is followed, and then an Error is raised."""
    from playwright.async_api import Error  # noqa: PLC0415 - loaded with the first read, as in chromium.py

    script = _SCRIPT % (max_html_chars, max_text_chars)
    for _ in range(_ATTEMPTS - 1):
        try:
            return await _evaluate_isolated(page, script)
        except Error:
            await page.wait_for_load_state("domcontentloaded")
    return await _evaluate_isolated(page, script)


async def _evaluate_isolated(page: "Page", script: str) -> Snapshot:
    """Evaluate in a world of its own, whose built-ins the page's scripts cannot have replaced."""
    from playwright.async_api import Error  # noqa: PLC0415 - as above

    session = await page.context.new_cdp_session(page)
    tree: dict[str, Any] = await session.send("Page.getFrameTree")
    world: dict[str, Any] = await session.send(
        "Page.createIsolatedWorld", {"frameId": tree["frameTree"]["frame"]["id"], "worldName": "parley"}
    )
    outcome: dict[str, Any] = await session.send(
        "Runtime.evaluate",
        {"expression": script, "contextId": world["executionContextId"], "returnByValue": True},
    )
    if "exceptionDetails" in outcome:
        raise Error("the page could not be read")
    return Snapshot.model_validate(outcome["result"]["value"])
