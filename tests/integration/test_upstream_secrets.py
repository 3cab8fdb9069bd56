"""Keys of providers, prompts, answers and what servers say in their errors stand in no log and no metric."""

import re

import httpx

from tests.fakes.anthropic_server import AnthropicFake
from tests.fakes.openai_server import OpenAiFake
from tests.integration.paced import FAILING, QUICK
from tests.integration.stack import WORKERS, Stack
from tests.stack_marks import STACK

pytestmark = STACK

PROMPT = "planted-prompt-of-the-stack-41c7"
UPSTREAM = "planted-words-of-a-server-92ab"
RETRY_AFTER = 7
FAILURES = {
    "error400": (502, "upstream_failed"),
    "error401": (502, "upstream_failed"),
    "error429": (429, "overloaded"),
    "too_long": (413, "too_large"),
    "malformed": (502, "upstream_failed"),
}
WORD_OF_AN_ANSWER = re.compile(r"c\d+w\d+ ")


async def test_what_providers_are_told_and_say_is_written_nowhere(
    stack: Stack, openai_upstream: OpenAiFake, anthropic_upstream: AnthropicFake
) -> None:
    assert tuple(FAILURES) == FAILING, "the upstreams list what is asked for"
    told: list[str] = []
    openai_upstream.planted = anthropic_upstream.planted = UPSTREAM
    seen = len(anthropic_upstream.requests)
    async with stack.http() as client, stack.chat() as chat:
        for pool in ("openai", "anthropic"):
            body = {"messages": [{"role": "user", "content": PROMPT}], "model": f"{pool}/{QUICK}"}
            whole = await client.post("/v1/chat/completions", json=body)
            assert WORD_OF_AN_ANSWER.match(whole.json()["choices"][0]["message"]["content"]), whole.text
            for name, (status, code) in FAILURES.items():
                model = f"{pool}/{name}"
                refused = await client.post("/v1/chat/completions", json={**body, "model": model})
                told.append(refused.text)
                assert refused.status_code == status, refused.text
                turn = await chat.ask(PROMPT, model=model, collections=[])
                told.append(str(turn.ending))
                assert (turn.ending["type"], turn.ending["code"]) == ("turn_failed", code), turn.ending
                is_retryable = name not in {"error400", "error401", "too_long"}
                assert turn.ending["retryable"] is is_retryable, turn.ending
                if name == "error429":
                    assert turn.ending["retry_after_s"] == RETRY_AFTER
                    assert refused.headers["Retry-After"] == str(RETRY_AFTER)
    assert PROMPT in str(list(anthropic_upstream.requests)[seen:])
    async with httpx.AsyncClient(trust_env=False) as probe:
        for name in WORKERS:
            told.append((await probe.get(stack.metrics_url(name))).raise_for_status().text)
        told.append(
            (await probe.get(f"{stack.url()}/metrics", headers=stack.headers)).raise_for_status().text
        )
    told += [log.read_text(errors="replace") for log in stack.folder.glob("*.log")]
    keys = (str(openai_upstream.api_key), str(anthropic_upstream.api_key))
    for text in told:
        assert not [secret for secret in (*keys, PROMPT, UPSTREAM, "not json") if secret in text], text[-400:]
        assert not WORD_OF_AN_ANSWER.search(text)
    assert 'gen_ai_provider_name="anthropic"' in "".join(told)
