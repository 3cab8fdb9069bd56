"""Chains of models on the whole stack: an upstream dies before or in the middle, and what its reader sees."""

import json
from typing import Any

from tests.chaos.printed import print_row
from tests.fakes.ollama_server import OllamaFake
from tests.fakes.openai_server import OpenAiFake
from tests.integration.paced import DYING, QUICK
from tests.integration.stack import Stack
from tests.integration.turn_view import TurnView
from tests.stack_marks import STACK

pytestmark = STACK

BEFORE, AFTER_100 = (f"openai/{name}" for name in DYING)
SECOND = f"ollama/{QUICK}"
WRITTEN = 100


def print_seen(name: str, turn: TurnView) -> None:
    words = turn.text.split()
    shown = " ".join(words if len(words) < 8 else [*words[:3], "...", words[-1]])
    told = ("type", "model", "code", "message", "retryable", "kept_chars", "degraded")
    ending = {key: turn.ending[key] for key in told if turn.ending.get(key) not in (None, [])}
    print_row(f"{name}: the reader has {len(words)} words ({shown}), then {json.dumps(ending)}")


async def test_an_upstream_that_dies_before_its_first_word_is_followed_by_the_next_of_the_chain(
    stack: Stack, openai_upstream: OpenAiFake, ollama: OllamaFake
) -> None:
    calls, others = openai_upstream.stats.calls, ollama.stats.calls
    async with stack.chat() as chat:
        turn = await chat.ask("Count.", model=BEFORE, models=[SECOND], collections=[])
    print_seen("dead before a word", turn)
    assert turn.ending["type"] == "turn_completed", turn.ending
    assert (turn.ending["model"], turn.ending["degraded"]) == (SECOND, ["model"])
    assert (openai_upstream.stats.calls, ollama.stats.calls) == (calls + 1, others + 1)
    assert len(turn.text.split()) == turn.ending["usage"]["completion_tokens"]
    # Whoever fails while nothing is written leaves no trace of an answer: nothing is taken back.
    assert turn.types.count("epoch_started") == 1


async def test_an_upstream_that_dies_after_100_tokens_is_replaced_by_nobody_and_its_reader_is_told(
    stack: Stack, openai_upstream: OpenAiFake, ollama: OllamaFake
) -> None:
    calls, others = openai_upstream.stats.calls, ollama.stats.calls
    async with stack.chat() as chat:
        turn = await chat.ask("Count.", model=AFTER_100, models=[SECOND], collections=[])
    print_seen("dead after 100 tokens", turn)
    words = turn.text.split()
    assert len(words) == WRITTEN
    assert {word[: word.index("w")] for word in words} == {f"c{openai_upstream.stats.calls}"}
    ending = turn.ending
    assert (ending["type"], ending["code"], ending["retryable"]) == ("turn_failed", "upstream_failed", True)
    assert ending["kept_chars"] == len(turn.text)
    assert (openai_upstream.stats.calls, ollama.stats.calls) == (calls + 1, others)


async def test_a_completion_says_which_model_of_the_chain_has_answered_and_a_stream_ends_by_the_error(
    stack: Stack,
) -> None:
    messages = [{"role": "user", "content": "Count."}]
    asked: dict[str, Any] = {"messages": messages, "models": [SECOND], "collections": []}
    async with stack.http() as client:
        whole = await client.post("/v1/chat/completions", json={"model": BEFORE, **asked})
        streamed = await client.post(
            "/v1/chat/completions", json={"model": AFTER_100, "stream": True, **asked}
        )
        unknown = await client.post("/v1/chat/completions", json={"model": SECOND, "fallbacks": [], **asked})
    body = whole.json()
    print_row(f"completion, dead before a word: {body['model']}: {body['choices'][0]['message']['content']}")
    assert (whole.status_code, body["model"]) == (200, SECOND)
    assert streamed.status_code == 200
    *lines, error, done = [line for line in streamed.text.splitlines() if line.startswith("data: ")]
    print_row(f"stream, dead after 100 tokens: {len(lines)} chunks, then {error}")
    deltas = [json.loads(line.removeprefix("data: "))["choices"][0]["delta"] for line in lines]
    assert len("".join(delta.get("content") or "" for delta in deltas).split()) == WRITTEN
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == "upstream_failed"
    assert done == "data: [DONE]"
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (400, "fallbacks")
