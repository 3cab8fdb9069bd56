"""What the models of every kind of server do: errors, clocks, stops, lists and circuits."""

import asyncio
from contextlib import AsyncExitStack, aclosing

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turns import ModelLink
from parley_llm.backends.served_models import ServedModels
from parley_llm.language_model import Chunk
from parley_messaging.circuit import FAILURES, Circuits

from tests.fakes.scripted_answers import QUICK_MODEL
from tests.unit.llm.backend_kinds import BACKEND_KINDS, BackendKind, Served
from tests.unit.llm.dead_ends import nobody_accepting
from tests.unit.llm.jobs import final_of, job_for, text_of

PACED = "paced:ttft=0,gap=20,count=500"
each_kind = pytest.mark.parametrize("kind", BACKEND_KINDS, ids=lambda kind: kind.pool)


async def chunks_of(models: ServedModels, model_id: str) -> list[Chunk]:
    return [chunk async for chunk in models.generate(job_for(model_id))]


async def error_of(models: ServedModels, model_id: str) -> ParleyError:
    with pytest.raises(ParleyError) as caught:
        await chunks_of(models, model_id)
    return caught.value


@pytest.mark.parametrize("name", ["cut", "unfinished", "malformed", "failing", "stall"])
async def test_what_came_before_a_failure_is_passed_on(served: Served, name: str):
    async with aclosing(served.models.generate(job_for(served.id_of(name)))) as chunks:
        seen = [await anext(chunks) for _ in range(3)]
        with pytest.raises(ParleyError):
            await anext(chunks)

    assert text_of(seen) == "c1w0 c1w1 c1w2 "


@each_kind
async def test_a_server_that_is_away_lists_nothing_and_is_unavailable(
    kind: BackendKind, unused_tcp_port: int
):
    async with kind.open_models(f"http://127.0.0.1:{unused_tcp_port}") as away:
        assert await away.models() == ()
        error = await error_of(away, kind.id_of(QUICK_MODEL))

    assert (error.code, error.retryable) == (ErrorCode.UNAVAILABLE, True)


@each_kind
async def test_a_server_that_goes_away_later_is_unavailable(kind: BackendKind):
    async with AsyncExitStack() as closing:
        async with kind.open_fake() as fake:
            models = await closing.enter_async_context(kind.open_models(fake.url))
            assert await models.models()

        assert await models.models() == ()
        error = await error_of(models, kind.id_of(QUICK_MODEL))

    assert error.code is ErrorCode.UNAVAILABLE


@each_kind
@pytest.mark.parametrize("has_been_there", [True, False])
async def test_a_server_to_which_no_connection_comes_about_keeps_only_the_first_answers_waiting(
    kind: BackendKind, has_been_there: bool, unused_tcp_port: int
):
    circuits = Circuits()
    async with AsyncExitStack() as closing:
        port = unused_tcp_port
        if has_been_there:
            async with kind.open_fake() as fake:
                models = await closing.enter_async_context(
                    kind.open_models(fake.url, circuits, connect_s=0.1)
                )
                assert await chunks_of(models, kind.id_of(QUICK_MODEL))
                port = int(fake.url.rpartition(":")[2])
        else:
            models = await closing.enter_async_context(
                kind.open_models(f"http://127.0.0.1:{port}", circuits, connect_s=0.1)
            )
        closing.enter_context(nobody_accepting(port))
        errors = [await error_of(models, kind.id_of(QUICK_MODEL)) for _ in range(FAILURES + 3)]

    assert {error.code for error in errors} == {ErrorCode.UNAVAILABLE}
    assert circuits.skipped[f"{kind.pool}-connect"] == 3


async def test_closing_the_answer_closes_the_stream_at_once(served: Served):
    chunks = served.models.generate(job_for(served.id_of(PACED)))
    await anext(chunks)

    await chunks.aclose()

    await served.fake.until(lambda stats: len(stats.aborted_streams) == 1, within_s=0.5)
    assert served.fake.stats.open_streams == 0


@pytest.mark.parametrize("name", [PACED, "silent", "stall"])
async def test_cancelling_who_waits_closes_the_stream_at_once(served: Served, name: str):
    async def read() -> None:
        async with aclosing(served.models.generate(job_for(served.id_of(name)))) as chunks:
            async for _ in chunks:
                pass

    await served.models.models()
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read())
        await served.fake.until(lambda stats: stats.open_streams == 1, within_s=5)
        reading.cancel()

    await served.fake.until(lambda stats: len(stats.aborted_streams) == 1, within_s=0.5)
    assert served.fake.stats.completed_streams == 0


async def test_time_in_which_nobody_reads_is_no_silence_of_the_model(served: Served):
    job = job_for(served.id_of("paced:ttft=0,gap=100,count=12"))
    chunks: list[Chunk] = []

    async with aclosing(served.models.generate(job)) as answer:
        async for chunk in answer:
            chunks.append(chunk)
            # Twice as long as the model may be silent: it is the time itself that matters.
            await asyncio.sleep(0.6 if len(chunks) == 1 else 0)

    assert len(text_of(chunks).split()) == 12
    assert final_of(chunks).finish_reason == "stop"


async def test_an_answer_leaves_its_connection_for_the_next_one(served: Served):
    for _ in range(3):
        await chunks_of(served.models, served.id_of(QUICK_MODEL))

    assert len(served.fake.callers) == 1


async def test_more_answers_stream_at_once_than_the_client_has_connections_by_default(served: Served):
    model_id = served.id_of("paced:ttft=0,gap=300,count=3")
    async with served.kind.open_models(served.fake.url) as models, asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(chunks_of(models, model_id)) for _ in range(120)]
    answers = [reader.result() for reader in readers]

    assert len({text_of(chunks) for chunks in answers}) == 120
    assert served.fake.stats.completed_streams == 120


async def test_models_that_write_no_answers_are_not_listed(served: Served):
    listed = await served.models.models()

    assert {info.id for info in listed} == {
        served.id_of("paced:ttft=50,gap=20,count=100"),
        served.id_of(QUICK_MODEL),
    }


@pytest.mark.parametrize("name", ["paced:ttft=50,gap=20,count=100", QUICK_MODEL])
async def test_the_model_that_is_set_is_listed_first(served: Served, name: str):
    async with served.kind.open_models(served.fake.url, default_model=name) as models:
        listed = await models.models()

    assert listed[0].id == served.id_of(name)
    assert len(listed) == 2


async def test_a_default_model_that_the_server_does_not_have_leaves_its_order(served: Served):
    async with served.kind.open_models(served.fake.url, default_model="of-others") as models:
        listed = await models.models()

    assert listed[0].id == served.id_of(served.fake.models[0])


@each_kind
async def test_an_answer_that_is_never_silent_ends_by_the_clock_for_the_whole(kind: BackendKind):
    async with kind.open_fake() as fake, kind.open_models(fake.url, whole_s=0.3) as models:
        error = await error_of(models, kind.id_of(PACED))
    assert error.code is ErrorCode.TIMEOUT
    assert fake.stats.calls == 1


@each_kind
async def test_who_is_followed_by_others_is_not_asked_again(kind: BackendKind):
    async with kind.open_fake() as fake, kind.open_models(fake.url, first_retry_s=0.01) as models:
        fake.refusing.extend(["error429", "error429", "error429"])
        job = job_for(kind.id_of(QUICK_MODEL)).model_copy(update={"fallbacks": (ModelLink(model="other"),)})
        with pytest.raises(ParleyError) as caught:
            await anext(models.generate(job))
    assert caught.value.code is ErrorCode.OVERLOADED
    assert len(fake.refusing) == 2
