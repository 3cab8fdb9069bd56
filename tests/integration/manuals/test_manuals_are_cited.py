"""Questions on manuals of Debian packages are answered with the right file and page."""

import asyncio
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from tests.conftest import free_port
from tests.integration.library import upload
from tests.integration.manuals import debian_packages
from tests.integration.manuals.citation_report import Outcome, outcome_of, table
from tests.integration.manuals.question_set import Question, QuestionSet, read_questions
from tests.integration.stack import Stack, open_stack
from tests.integration.waiting import eventually

pytestmark = [
    *(pytest.mark.stack, pytest.mark.nats, pytest.mark.redis, pytest.mark.model),
    pytest.mark.timeout(900),
]

RIGHT_SHARE = 0.85
LONG_PACKAGES = ("developers-reference", "debian-policy", "debian-faq", "doc-debian")
IS_FULL = os.environ.get("PARLEY_MANUALS") == "full"
SERVICES = ("llm", "npu", "rag", "memory")
INGESTION_S = 600.0
POLL_S = 0.5
"""Between looks at a document; quicker ones would take from the processor that embeds."""


def asked_of() -> QuestionSet:
    """Return the questions of this run: without the longest packages where it is to be small."""
    found = read_questions()
    return found if IS_FULL else found.without(LONG_PACKAGES)


@pytest.fixture(scope="module")
def manuals() -> dict[str, bytes]:
    """Name to content of every document, those that no question is about among them."""
    reason = debian_packages.missing()
    if reason:
        pytest.skip(reason)
    kept = os.environ.get("PARLEY_TEST_MANUALS_DIR") or Path(tempfile.gettempdir(), "parley-test-manuals")
    return debian_packages.documents_of(asked_of().packages, Path(kept))


async def test_questions_on_manuals_cite_the_right_file_and_page(
    manuals: Mapping[str, bytes], tmp_path: Path, model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = asked_of().questions
    # Reading in is most of the time: let it have both cores.
    nobody = {"OLLAMA_HOST": f"http://127.0.0.1:{free_port()}", "PARLEY_NPU_THREADS": "2"}
    async with open_stack(tmp_path, model_dir=model_dir, services=SERVICES, environment=nobody) as stack:
        await _ingest(stack, manuals)
        outcomes = [await _asked(stack, question) for question in questions]
    with capsys.disabled():
        print(f"\n{table(outcomes)}")  # noqa: T201 - the table is what a reader of the run wants
    assert len(questions) == (20 if IS_FULL else 8)
    assert sum(outcome.is_right for outcome in outcomes) >= RIGHT_SHARE * len(questions), table(outcomes)


async def _ingest(stack: Stack, manuals: Mapping[str, bytes]) -> None:
    async with stack.http() as client, asyncio.timeout(INGESTION_S):
        ids: list[str] = []
        for name, content in manuals.items():
            response = await upload(client, name, content, "manuals")
            assert response.status_code == 202, response.text
            ids.append(response.json()["document"]["id"])
        for document_id in ids:
            await _ready(client, document_id)


async def _ready(client: httpx.AsyncClient, document_id: str) -> None:
    async def is_ready() -> bool:
        await asyncio.sleep(POLL_S)
        document = (await client.get(f"/api/documents/{document_id}")).json()["document"]
        assert document["status"] != "failed", document
        return document["status"] == "ready"

    await eventually(is_ready, within_s=INGESTION_S)


async def _asked(stack: Stack, question: Question) -> Outcome:
    # Each on a socket and in a conversation of its own: no answer depends on an earlier one.
    async with stack.chat() as chat:
        turn = await chat.ask(question.text, model="extractive")
    assert turn.ending["type"] == "turn_completed", turn.ending
    return outcome_of(question, turn)
