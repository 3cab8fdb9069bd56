"""What is asked and answered in a chat stands in no log and no metric of a gateway and its worker."""

import logging
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_messaging.logs import JsonLines
from prometheus_client import generate_latest

from tests.unit.gateway.site_edge import SiteEdge, open_site_edge

QUESTION = "planted-question-1a2b"
PROMPT = "planted-prompt-3c4d"
ANSWER = "planted-answer-5e6f"


@pytest.fixture
async def sites(tmp_path: Path, accounts_file: Path) -> AsyncGenerator[SiteEdge]:
    async with open_site_edge(tmp_path, accounts_file) as opened:
        yield opened


@pytest.mark.parametrize(
    "error",
    [
        None,
        ParleyError(ErrorCode.UPSTREAM_FAILED, "the model failed"),
        ParleyError(ErrorCode.UNAVAILABLE, "away"),
    ],
    ids=["answered", "failed", "away"],
)
async def test_a_chat_is_written_nowhere_but_into_its_turn(
    sites: SiteEdge, caplog: pytest.LogCaptureFixture, error: ParleyError | None
) -> None:
    bot = await sites.bot(prompt=PROMPT)
    sites.model.pieces, sites.model.error = [ANSWER, " and more"], error
    formatter = JsonLines("gateway", "gateway-1", shows_content=False)

    with caplog.at_level(logging.DEBUG):
        whole = await sites.ask(bot, QUESTION)
        events = await sites.told(bot)

    job = sites.model.calls[0]
    written = [formatter.format(record) for record in caplog.records]
    written.append(generate_latest(sites.edge.service.metrics).decode())
    assert (QUESTION in job.question, PROMPT in job.messages[0].content) == (True, True)
    assert (ANSWER in whole.text, ANSWER in str(events)) == (
        (True, True) if error is None else (False, False)
    )
    assert caplog.records
    assert not [secret for secret in (QUESTION, PROMPT, ANSWER) if any(secret in text for text in written)]
