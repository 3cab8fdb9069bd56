"""What becomes of each failure of a server, by kind of server: `-s` prints the table."""

import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_llm.backends.patience import FIRST_WAIT_S, MOST_REQUESTS, Patience
from parley_llm.backends.served_models import ServedModels
from parley_llm.backends.server_errors import ServerFault, retry_after_s
from parley_llm.language_model import Chunk, FinalChunk

from tests.fakes.scripted_answers import QUICK_MODEL
from tests.unit.llm.backend_kinds import BACKEND_KINDS, OLLAMA, BackendKind, Served
from tests.unit.llm.dead_ends import hanging_up, nobody_accepting
from tests.unit.llm.jobs import final_of, job_for, text_of

each_kind = pytest.mark.parametrize("kind", BACKEND_KINDS, ids=lambda kind: kind.pool)
WORDS_OF_SERVERS = ("CUDA", "sk-", "runner", "memory", "busy", "option", "Quota", "credit", "208310", "2048")
AWAY = "the model server cannot be reached"


@dataclass(frozen=True)
class Case:
    """One failure: the model that has it, and what is to become of it."""

    what: str
    model: str
    code: ErrorCode
    is_retryable: bool
    retry_after_s: int | None = None
    not_of: tuple[str, ...] = ()


@dataclass
class Table:
    """What clients read of each failure."""

    rows: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])

    def add(self, pool: str, what: str, error: ParleyError | None, chunk: FinalChunk | None = None) -> None:
        """Note how a call has ended."""
        if error is None:
            assert chunk is not None
            self.rows.append((what, pool, "completed", "", "", f"finish_reason {chunk.finish_reason}"))
            return
        after = "" if error.retry_after_s is None else f"{error.retry_after_s} s"
        is_retryable = "yes" if error.retryable else "no"
        self.rows.append((what, pool, error.code.value, is_retryable, after, error.message))


@pytest.fixture(scope="module")
def table() -> Generator[Table]:
    table = Table()
    yield table
    head = ("case", "backend", "code", "retryable", "after", "what the client reads")
    rows = [head, *sorted(table.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    print()  # noqa: T201 - the table is what `-s` is for
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        print(line)  # noqa: T201 - as above


CASES = (
    Case("401 wrong key", "error401", ErrorCode.UPSTREAM_FAILED, False),
    Case("404 model", "unknown", ErrorCode.MODEL_NOT_FOUND, False),
    Case("400 refused request", "error400", ErrorCode.UPSTREAM_FAILED, False),
    Case("context too long", "too_long", ErrorCode.TOO_LARGE, False, not_of=("ollama",)),
    Case("429 Retry-After 7", "error429", ErrorCode.OVERLOADED, True, retry_after_s=7),
    Case("quota used up", "quota429", ErrorCode.UPSTREAM_FAILED, False, not_of=("ollama",)),
    Case("500", "error500", ErrorCode.UPSTREAM_FAILED, True),
    Case("503", "error503", ErrorCode.UNAVAILABLE, True),
    Case("529", "error529", ErrorCode.OVERLOADED, True),
    Case("cut before text", "cut_early", ErrorCode.UNAVAILABLE, True),
    Case("cut in the text", "cut", ErrorCode.UPSTREAM_FAILED, True),
    Case("ends without end", "unfinished", ErrorCode.UPSTREAM_FAILED, True),
    Case("malformed chunk", "malformed", ErrorCode.UPSTREAM_FAILED, True),
    Case("error in the stream", "failing", ErrorCode.UPSTREAM_FAILED, True),
    Case("overload in the stream", "failing429", ErrorCode.OVERLOADED, True, not_of=("ollama",)),
    Case("quota in the stream", "failing_quota", ErrorCode.UPSTREAM_FAILED, False, not_of=("ollama",)),
    Case("stall before text", "silent", ErrorCode.TIMEOUT, True),
    Case("stall in the text", "stall", ErrorCode.TIMEOUT, True),
)


async def chunks_of(models: ServedModels, model_id: str, *, deadline_ms: int = 0) -> list[Chunk]:
    job = job_for(model_id).model_copy(update={"deadline_ms": deadline_ms})
    return [chunk async for chunk in models.generate(job)]


async def error_of(models: ServedModels, model_id: str, *, deadline_ms: int = 0) -> ParleyError:
    with pytest.raises(ParleyError) as caught:
        await chunks_of(models, model_id, deadline_ms=deadline_ms)
    return caught.value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
async def test_each_failure_of_a_server_has_its_code_and_none_of_its_words(
    served: Served, case: Case, table: Table
):
    if served.kind.pool in case.not_of:
        pytest.skip("such a server does not say so")

    error = await error_of(served.models, served.id_of(case.model))

    table.add(served.kind.pool, case.what, error)
    assert (error.code, error.retryable) == (case.code, case.is_retryable)
    assert error.retry_after_s == case.retry_after_s
    assert not any(word in error.message for word in WORDS_OF_SERVERS)


async def test_an_answer_that_a_filter_ends_says_so(served: Served, table: Table):
    if served.kind is OLLAMA:
        pytest.skip("such a server has no filter")

    chunks = await chunks_of(served.models, served.id_of("form:filtered"))

    table.add(served.kind.pool, "content filter", None, final_of(chunks))
    assert final_of(chunks).finish_reason == "content_filter"


@asynccontextmanager
async def a_dead_end(what: str, port: int) -> AsyncGenerator[int]:
    if what == "closes at once":
        async with hanging_up() as its_port:
            yield its_port
    elif what == "connection hangs":
        with nobody_accepting(port):
            yield port
    else:
        yield port


@each_kind
@pytest.mark.parametrize("what", ["closes at once", "connection hangs", "nobody listens"])
async def test_a_server_that_is_no_server_is_unavailable(
    kind: BackendKind, what: str, table: Table, unused_tcp_port: int
):
    async with (
        a_dead_end(what, unused_tcp_port) as port,
        kind.open_models(f"http://127.0.0.1:{port}", connect_s=0.1) as models,
    ):
        error = await error_of(models, kind.id_of(QUICK_MODEL))

    table.add(kind.pool, what, error)
    assert (error.code, error.retryable) == (ErrorCode.UNAVAILABLE, True)


# -- asking once more ----------------------------------------------------------------------------------


def in_a_minute_ms() -> int:
    return int(time.time() * 1000) + 60_000


@asynccontextmanager
async def quick_to_ask_again(kind: BackendKind, url: str) -> AsyncGenerator[ServedModels]:
    async with kind.open_models(url, first_retry_s=0.01) as models:
        await models.models()
        yield models


@pytest.mark.parametrize("refusals", [["error503"], ["error529", "error500"]], ids=["once", "twice"])
async def test_what_is_refused_for_now_is_asked_for_again(served: Served, refusals: list[str]):
    served.fake.refusing.extend(refusals)
    async with quick_to_ask_again(served.kind, served.fake.url) as models:
        chunks = await chunks_of(models, served.id_of(QUICK_MODEL), deadline_ms=in_a_minute_ms())

    assert text_of(chunks).split() == [f"c1w{place}" for place in range(20)]
    assert len(served.fake.requests) == len(refusals) + 1


async def test_who_goes_on_refusing_is_left_in_peace(served: Served):
    served.fake.refusing.extend(["error503"] * 10)
    async with quick_to_ask_again(served.kind, served.fake.url) as models:
        error = await error_of(models, served.id_of(QUICK_MODEL), deadline_ms=in_a_minute_ms())

    assert error.code is ErrorCode.UNAVAILABLE
    assert len(served.fake.refusing) == 10 - MOST_REQUESTS


@pytest.mark.parametrize("name", ["cut", "malformed", "failing", "unfinished", "stall"])
async def test_nothing_is_asked_for_again_once_something_is_written(served: Served, name: str):
    error = await error_of(served.models, served.id_of(name), deadline_ms=in_a_minute_ms())

    assert error.retryable
    assert served.fake.stats.calls == 1


@pytest.mark.parametrize("name", ["error401", "unknown", "error400"])
async def test_what_is_refused_for_good_is_not_asked_for_again(served: Served, name: str):
    await served.models.models()
    served.fake.requests.clear()

    error = await error_of(served.models, served.id_of(name), deadline_ms=in_a_minute_ms())

    assert not error.retryable
    assert len(served.fake.requests) <= 1


def patience(*, left_s: float = 300, most_wait_s: float = 20) -> Patience:
    return Patience(
        deadline_ms=int(left_s * 1000),
        most_wait_s=most_wait_s,
        first_wait_s=FIRST_WAIT_S,
        clock=lambda: 0.0,
        chance=lambda: 0.5,
    )


def fault(after_s: int | None = None) -> ServerFault:
    return ServerFault(ErrorCode.OVERLOADED, "no more now", retry_after_s=after_s)


def test_the_waits_grow_and_end():
    waiting = patience()

    assert [waiting.wait_s(fault()), waiting.wait_s(fault())] == [FIRST_WAIT_S * 1.5, FIRST_WAIT_S * 3]
    with pytest.raises(ServerFault):
        waiting.wait_s(fault())


def test_a_server_that_says_when_is_asked_then():
    assert patience().wait_s(fault(7)) == 7.5


@pytest.mark.parametrize(
    "waiting", [patience(left_s=7), patience(most_wait_s=5)], ids=["after-the-deadline", "too-long"]
)
def test_a_wait_that_is_too_long_is_told_to_the_client_instead(waiting: Patience):
    with pytest.raises(ServerFault) as caught:
        waiting.wait_s(fault(7))

    assert caught.value.retry_after_s == 7


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (None, None),
        ("", None),
        ("7", 7),
        (" 7 ", 7),
        ("0", 1),
        ("0.4", 1),
        ("1.5", 2),
        ("999999", 86_400),
        ("9" * 400, None),
        ("-3", None),
        ("nan", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_when_to_ask_again_is_read_in_whole_seconds(told: str | None, expected: int | None):
    assert retry_after_s(told) == expected
