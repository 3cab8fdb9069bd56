"""Answers that are given again on the whole stack: where it is asked for, and told in usage."""

from typing import Any

from tests.chaos.printed import print_row
from tests.fakes.openai_server import OpenAiFake
from tests.integration.paced import QUICK
from tests.integration.stack import Stack
from tests.stack_marks import STACK

pytestmark = STACK

MODEL = f"openai/{QUICK}"
COLD = {"temperature": 0}


async def test_a_question_of_a_program_is_answered_again_without_its_model_where_it_asks_for_that(
    stack: Stack, openai_upstream: OpenAiFake
) -> None:
    calls = openai_upstream.stats.calls
    asked: dict[str, Any] = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Count once."}],
        "collections": [],
        **COLD,
    }
    async with stack.http() as client:
        plain = (await client.post("/v1/chat/completions", json=asked)).json()
        first = (await client.post("/v1/chat/completions", json={**asked, "cache": True})).json()
        second = (await client.post("/v1/chat/completions", json={**asked, "cache": True})).json()
    assert openai_upstream.stats.calls == calls + 2
    texts = [one["choices"][0]["message"]["content"] for one in (plain, first, second)]
    assert texts[1] == texts[2] != texts[0]
    print_row(f"asked twice: {first['usage']}, then {second['usage']}")
    prompt_tokens = second["usage"]["prompt_tokens"]
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] == prompt_tokens > 0
    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] < prompt_tokens
    async with stack.chat() as chat:
        turns = [
            await chat.ask("Count for a socket.", model=MODEL, collections=[], params=COLD, cache=True)
            for _ in range(2)
        ]
    assert turns[0].text == turns[1].text
    assert [turn.ending["usage"]["remembered_prompt_tokens"] > 0 for turn in turns] == [False, True]
