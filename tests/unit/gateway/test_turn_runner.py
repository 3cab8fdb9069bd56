"""A turn from the door to its terminal event, with every part real but the neighbours."""

import asyncio
from uuid import uuid4

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turn_events import (
    ContextReady,
    EpochStarted,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
    frame_seq,
)
from parley_contracts.turns import ChatMessage, PenClaim, PenRole, Seal, Support, TurnOutcome
from parley_gateway.turn_ending import Sealing
from parley_messaging.bus import Bus
from parley_messaging.pen import new_nonce

from tests.unit.gateway.rig import ANSWER, OWNER, PASSAGE, WAIT_S, Gateway, Seen, running


async def test_a_turn_goes_from_the_door_to_one_terminal_event(bus: Bus) -> None:
    async with running(bus) as rig:
        accepted, seen = await rig.first.ask()
        ended = await seen.ended()
        assert isinstance(ended, TurnCompleted)
        assert seen.text == ANSWER
        assert seen.types == [
            "epoch_started",
            "stage_changed",
            "context_ready",
            "stage_changed",
            "epoch_started",
            "text_delta",
            "text_delta",
            "text_delta",
            "generation_finished",
            "turn_completed",
        ]
        seqs = [frame_seq(frame) for frame in seen.frames]
        assert seqs == sorted(set(seqs))
        assert [citation.document.name for citation in ended.citations] == ["protocol.md"]
        assert ended.support is Support.CITED
        assert (ended.stored, ended.model, ended.usage.completion_tokens) == ("yes", "scripted", 3)
        seal = rig.neighbours.stored[accepted.ref.turn_id]
        assert (seal.text, seal.outcome, seal.user_text) == (
            ANSWER,
            TurnOutcome.COMPLETED,
            "Who has the pen?",
        )
        records = await rig.first.pen.read_all(accepted.ref.turn_id)
        assert [getattr(record, "role", record.type) for record in records] == ["runner", "worker", "seal"]


async def test_the_prompt_holds_history_passages_and_question(bus: Bus) -> None:
    async with running(bus) as rig:
        opened, seen = await rig.first.ask()
        await seen.ended()
        rig.neighbours.history = (
            ChatMessage(role="user", content="Hello?"),
            ChatMessage(role="assistant", content="Hello."),
        )
        _, seen = await rig.first.ask("And then?", conversation_id=opened.conversation_id)
        await seen.ended()
        job = rig.model.calls[-1]
        assert [message.content for message in job.messages[1:-1]] == ["Hello?", "Hello."]
        assert PASSAGE.text in job.messages[-1].content
        assert job.messages[-1].content.endswith("And then?")


async def test_parts_that_are_away_cost_the_turn_only_themselves(bus: Bus) -> None:
    async with running(bus) as rig:
        rig.neighbours.away = {"npu", "rag"}
        _, seen = await rig.first.ask()
        ended = await seen.ended()
        assert isinstance(ended, TurnCompleted)
        assert ended.degraded == ("npu", "rag")
        context = next(event for event in seen.events if isinstance(event, ContextReady))
        assert context.citations == ()
        assert ended.support is None


async def test_an_answer_that_cites_nothing_says_so(bus: Bus) -> None:
    async with running(bus) as rig:
        rig.model.pieces = ["Who ", "knows."]
        _, seen = await rig.first.ask()
        ended = await seen.ended()
        assert isinstance(ended, TurnCompleted)
        assert (ended.citations, ended.support) == ((), Support.UNCITED)


async def test_that_nothing_was_found_is_still_known_to_a_runner_that_takes_over(bus: Bus) -> None:
    async with running(bus, runs_turns=False) as rig:
        rig.neighbours.passages = ()
        rig.model.may_go_on.clear()
        _, seen = await rig.first.ask()
        ended = await rig.ended_by_another(seen)
        assert isinstance(ended, TurnCompleted)
        assert ended.support is Support.NOTHING_FOUND


async def test_without_vectors_the_words_are_searched(bus: Bus) -> None:
    async with running(bus) as rig:
        rig.neighbours.away = {"npu"}
        _, seen = await rig.first.ask()
        await seen.ended()
        assert [search.vector for search in rig.neighbours.searches] == [None]


async def test_a_turn_without_collections_searches_nothing(bus: Bus) -> None:
    async with running(bus) as rig:
        _, seen = await rig.first.ask(collections=[])
        ended = await seen.ended()
        assert isinstance(ended, TurnCompleted)
        assert (rig.neighbours.searches, ended.degraded) == ([], ())
        assert ended.support is None


async def test_a_turn_that_names_a_collection_which_is_not_there_fails_by_its_name(bus: Bus) -> None:
    async with running(bus) as rig:
        _, seen = await rig.first.ask(collections=["default", "nowhere"])
        ended = await seen.ended()
        assert isinstance(ended, TurnFailed)
        assert (ended.code, ended.retryable) == (ErrorCode.NOT_FOUND, False)
        assert ended.message == "There is no collection 'nowhere'."
        assert rig.model.calls == []


async def test_memory_away_says_pending_and_the_turn_is_stored_when_it_is_back(bus: Bus) -> None:
    async with running(bus) as rig:
        rig.neighbours.away = {"memory"}
        accepted, seen = await rig.first.ask()
        ended = await seen.ended()
        assert isinstance(ended, TurnCompleted)
        assert ended.stored == "pending"
        rig.neighbours.away = set()
        async with asyncio.timeout(WAIT_S):
            await rig.neighbours.has_stored.wait()
        assert accepted.ref.turn_id in rig.neighbours.stored
        assert len(rig.model.calls) == 1


async def test_an_accepted_turn_keeps_a_model_that_nobody_lists_any_more(bus: Bus) -> None:
    async with running(bus, runs_turns=False) as rig, asyncio.TaskGroup() as tasks:
        _, seen = await rig.first.ask(model="scripted")
        rig.neighbours.away.add("llm")
        late = Gateway(bus, "gateway-3")
        working = [*await late.start(tasks), tasks.create_task(late.loop.run())]
        ended = await seen.ended()
        for task in working:
            task.cancel()
    assert isinstance(ended, TurnCompleted)
    assert seen.text == ANSWER


async def test_a_failing_model_fails_the_turn_with_its_reason(bus: Bus) -> None:
    async with running(bus) as rig:
        rig.model.error = ParleyError(ErrorCode.UPSTREAM_FAILED, "The model server answered with 500.")
        accepted, seen = await rig.first.ask()
        ended = await seen.ended()
        assert isinstance(ended, TurnFailed)
        assert (ended.code, ended.retryable) == (ErrorCode.UPSTREAM_FAILED, True)
        assert rig.neighbours.stored[accepted.ref.turn_id].outcome is TurnOutcome.FAILED


@pytest.mark.parametrize(("is_retryable", "after_s"), [(False, None), (True, 7)])
async def test_a_failed_turn_says_whether_and_when_to_ask_again_as_its_model_does(
    bus: Bus, is_retryable: bool, after_s: int | None
) -> None:
    async with running(bus) as rig:
        rig.model.error = ParleyError(
            ErrorCode.UPSTREAM_FAILED, "It said no.", retryable=is_retryable, retry_after_s=after_s
        )
        _, seen = await rig.first.ask()
        ended = await seen.ended()
    assert isinstance(ended, TurnFailed)
    assert (ended.retryable, ended.retry_after_s) == (is_retryable, after_s)
    assert ended.error.body().retry_after_s == after_s


async def test_the_same_turn_id_again_is_the_same_turn(bus: Bus) -> None:
    mine = uuid4().hex
    async with running(bus) as rig:
        first, seen = await rig.first.ask(turn_id=mine)
        await seen.ended()
        again, seen_again = await rig.second.ask(turn_id=mine)
        await seen_again.ended()
        assert again.ref.turn_id == first.ref.turn_id
        assert again.conversation_id == first.conversation_id
        assert seen_again.frames == seen.frames
        assert len(rig.model.calls) == 1


@pytest.mark.parametrize("is_same_gateway", [True, False])
async def test_a_repeat_while_the_turn_still_waits_is_the_same_turn(bus: Bus, is_same_gateway: bool) -> None:
    mine = uuid4().hex
    async with running(bus) as rig:
        other = rig.first if is_same_gateway else rig.second
        (_, one), (_, two) = await asyncio.gather(rig.first.ask(turn_id=mine), other.ask(turn_id=mine))
        await one.ended()
        await two.ended()
        assert one.frames == two.frames
        assert len(rig.model.calls) == 1


async def test_a_stop_aborts_the_model_and_keeps_what_was_written(bus: Bus) -> None:
    async with running(bus) as rig:
        rig.model.may_go_on.clear()
        accepted, seen = await rig.first.ask()
        await seen.until(lambda found: bool(found.text))
        await rig.second.door.cancel(OWNER, accepted.ref.client_turn_id)
        ended = await seen.ended()
        assert isinstance(ended, TurnCancelled)
        assert rig.model.was_aborted
        seal = rig.neighbours.stored[accepted.ref.turn_id]
        assert (seal.text, seal.outcome) == ("The pen ", TurnOutcome.CANCELLED)
        assert ended.kept_chars == len("The pen ")


async def test_a_stop_that_nobody_answers_is_sealed_by_the_edge(bus: Bus) -> None:
    async with running(bus, writes_answers=False) as rig:
        accepted, seen = await rig.first.ask()
        await seen.until(lambda found: found.types.count("stage_changed") == 2)
        rig.first.stopper.see_to(await rig.first.door.cancel(OWNER, accepted.ref.client_turn_id))
        assert isinstance(await seen.ended(), TurnCancelled)


async def test_a_turn_watched_from_another_gateway_is_the_same_to_the_byte(bus: Bus) -> None:
    async with running(bus) as rig:
        rig.model.may_go_on.clear()
        accepted, seen = await rig.first.ask()
        await seen.until(lambda found: bool(found.text))
        other = Seen()
        await rig.second.door.resume(OWNER, accepted.ref.client_turn_id, 0, other.take)
        rig.model.may_go_on.set()
        await seen.ended()
        await other.ended()
        assert other.frames == seen.frames


async def test_a_turn_whose_runner_died_before_the_job_is_begun_again(bus: Bus) -> None:
    async with running(bus, runs_turns=False) as rig:
        accepted, seen = await rig.first.ask()
        claim = PenClaim(nonce=new_nonce(), role=PenRole.RUNNER, holder="dead", home="gateway-1")
        await rig.first.pen.claim(accepted.ref.turn_id, 1, claim)
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(rig.second.loop.run())
            ended = await seen.ended()
            working.cancel()
        assert isinstance(ended, TurnCompleted)
        assert seen.text == ANSWER
        records = await rig.first.pen.read_all(accepted.ref.turn_id)
        assert [getattr(record, "holder", record.type) for record in records] == [
            "dead",
            "gateway-2",
            "llm-1",
            "seal",
        ]


async def test_a_turn_that_several_runners_died_of_is_given_up(bus: Bus) -> None:
    async with running(bus, runs_turns=False) as rig:
        accepted, seen = await rig.first.ask()
        for number in (1, 2, 3):
            claim = PenClaim(nonce=new_nonce(), role=PenRole.RUNNER, holder="dead", home="gateway-1")
            await rig.first.pen.claim(accepted.ref.turn_id, number, claim)
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(rig.second.loop.run())
            ended = await seen.ended()
            working.cancel()
        assert isinstance(ended, TurnFailed)
        assert rig.model.calls == []


async def test_a_generation_begun_under_a_dead_runner_is_followed_and_not_repeated(bus: Bus) -> None:
    async with running(bus, runs_turns=False) as rig:
        rig.model.may_go_on.clear()
        _, seen = await rig.first.ask()
        ended = await rig.ended_by_another(seen)
        assert isinstance(ended, TurnCompleted)
        assert [citation.n for citation in ended.citations] == [1]
        assert seen.text == ANSWER
        assert len(rig.model.calls) == 1


async def test_a_worker_that_died_is_replaced_and_the_written_prefix_kept(bus: Bus) -> None:
    async with running(bus, writes_answers=False) as rig:
        rig.model.may_go_on.clear()
        _, seen = await rig.first.ask()
        async with asyncio.TaskGroup() as tasks:
            dying = tasks.create_task(rig.worker_loop.run())
            await seen.until(lambda found: bool(found.text))
            dying.cancel()
        rig.model.may_go_on.set()
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(rig.worker_loop.run())
            ended = await seen.ended()
            working.cancel()
        assert isinstance(ended, TurnCompleted)
        epochs = [event for event in seen.events if isinstance(event, EpochStarted)]
        assert [epoch.keep_chars for epoch in epochs] == [0, 0, len("The pen ")]
        assert seen.text == ANSWER


async def test_a_turn_found_sealed_only_has_its_ending_repeated(bus: Bus) -> None:
    async with running(bus) as rig:
        accepted, seen = await rig.first.ask()
        await seen.ended()
        records = await rig.first.pen.read_all(accepted.ref.turn_id)
        seal = records[-1]
        assert isinstance(seal, Seal)
        assert await rig.second.ending.finish(len(records), seal) is Sealing.DONE
        late = Seen()
        await rig.second.door.resume(OWNER, accepted.ref.client_turn_id, 0, late.take)
        await late.ended()
        assert late.frames == seen.frames
