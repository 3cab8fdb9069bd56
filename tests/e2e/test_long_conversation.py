"""A conversation longer than a reply, in a real Chromium: latest turns first, then earlier ones."""

from typing import Any

import pytest
from playwright.async_api import expect

from tests.fakes.gateway_page_server import StandInState, serve_page
from tests.fakes.page_browser import open_browser

pytestmark = [pytest.mark.chromium]


def exchange(number: int) -> list[dict[str, Any]]:
    shared: dict[str, Any] = {
        "turn_id": f"t{number}",
        "citations": [],
        "model": None,
        "created_at_ms": number,
    }
    return [
        {**shared, "role": "user", "text": f"question {number}", "outcome": None},
        {**shared, "role": "assistant", "text": f"answer {number}", "outcome": "completed"},
    ]


async def test_earlier_messages_are_shown_above_and_each_once() -> None:
    state = StandInState(messages_a_page=4)
    state.titles["long"] = "Long"
    state.messages["long"] = [message for number in range(5) for message in exchange(number)]
    async with serve_page(state) as address, open_browser() as browser:
        page = await browser.new_page()
        page.set_default_timeout(8_000)
        await page.goto(f"{address}/#c=long")
        answers = page.get_by_test_id("answer")
        await expect(answers).to_have_count(2)
        for count in (4, 5):
            await page.get_by_test_id("earlier").click()
            await expect(answers).to_have_count(count)
        await expect(page.get_by_test_id("earlier")).to_have_count(0)
        texts = [text.strip() for text in await answers.all_inner_texts()]
        assert [text.splitlines()[0] for text in texts] == [f"answer {number}" for number in range(5)]
