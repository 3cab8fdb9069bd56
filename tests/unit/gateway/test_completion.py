"""An answer of the OpenAI API: streamed or whole, to a slow reader, and for a second time."""

import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turn_events import TextDelta
from parley_contracts.turns import EPOCH_SPAN
from parley_gateway.answer_reader import AnswerReader
from parley_gateway.completion import Completion
from parley_gateway.completion_request import CompletionRequest, turn_id_of_key
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.turn_watch import TurnWatch

from tests.unit.gateway.rig import ANSWER, OWNER, Gateway, running
from tests.unit.gateway.said_messages import said_in

BODY = {"model": "scripted", "messages": [{"role": "user", "content": "Who has the pen?"}]}


@pytest.fixture
async def memory_bus() -> AsyncGenerator[MemoryBus]:
    bus = MemoryBus()
    yield bus
    await bus.close()


async def completion(
    gateway: Gateway, key: str | None = None, *, max_bytes: int = 1_000_000, **fields: Any
) -> tuple[Completion, AnswerReader]:
    request = CompletionRequest.model_validate({**BODY, **fields})
    reader = AnswerReader(gateway.door, OWNER, max_bytes=max_bytes, turn_s=20)
    said = said_in(request)
    turn = await gateway.door.start(
        OWNER, request.start_frame(key, said), reader.take, history=said.history, is_stored=False
    )
    reader.follow(turn)
    return Completion(request, turn, reader), reader


def told(lines: list[bytes]) -> tuple[str, list[dict[str, Any]]]:
    """Return the text of a stream, and its chunks."""
    assert lines[-1] == b"data: [DONE]\n\n"
    chunks = [json.loads(line.removeprefix(b"data: ")) for line in lines[:-1] if line.startswith(b"data: ")]
    choices = [choice for chunk in chunks for choice in chunk.get("choices", ())]
    return "".join(choice["delta"].get("content") or "" for choice in choices), chunks


async def test_a_repeat_of_a_key_gets_the_same_answer_streamed_or_whole_on_any_gateway(
    memory_bus: MemoryBus,
) -> None:
    async with running(memory_bus) as rig:
        first, _ = await completion(rig.first, "my key")
        lines = [line async for line in first.stream()]
        text, chunks = told(lines)
        assert text == ANSWER
        for gateway in (rig.first, rig.second):
            again, _ = await completion(gateway, "my key")
            repeated, others = told([line async for line in again.stream()])
            assert repeated == text
            assert (others[-1], others[0]["created"]) == (chunks[-1], chunks[0]["created"])
            whole, _ = await completion(gateway, "my key")
            body = await whole.whole()
            assert (body["id"], body["created"]) == (chunks[0]["id"], chunks[0]["created"])
            assert body["choices"][0]["message"]["content"] == text
        assert len(rig.model.calls) == 1


async def test_a_repeat_while_the_first_is_written_gets_all_of_it(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as rig:
        rig.model.may_go_on.clear()
        first, _ = await completion(rig.first, "my key")
        second, _ = await completion(rig.second, "my key")
        stream = second.stream()
        lines = [await anext(stream), await anext(stream)]
        rig.model.may_go_on.set()
        lines += [line async for line in stream]
        assert told(lines)[0] == told([line async for line in first.stream()])[0] == ANSWER
        assert len(rig.model.calls) == 1


async def test_a_key_with_another_question_is_a_conflict(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as rig:
        await (await completion(rig.first, "my key"))[0].whole()
        with pytest.raises(ParleyError) as caught:
            await completion(rig.second, "my key", temperature=0.1)
        assert caught.value.code is ErrorCode.CONFLICT


async def test_without_a_key_every_request_is_a_turn_of_its_own(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as rig:
        for _ in range(2):
            await (await completion(rig.first))[0].whole()
        assert len(rig.model.calls) == 2


@pytest.mark.parametrize("key", ["a", "x" * 255, "любой ключ / ?*> ", "\udcff"])
def test_any_text_is_a_key_and_names_a_turn_of_its_own(key: str) -> None:
    request = CompletionRequest.model_validate(BODY)
    frame = request.start_frame(key, said_in(request))
    assert frame.turn_id == turn_id_of_key(key) != turn_id_of_key(key + "-")


async def test_a_reader_too_slow_for_its_buffer_gets_the_whole_answer_from_the_log(
    memory_bus: MemoryBus,
) -> None:
    async with running(memory_bus) as rig:
        words = [f"word{index} " for index in range(300)]
        rig.model.pieces = [*words]
        slow, reader = await completion(rig.first, max_bytes=2000)
        _, other = await rig.second.ask()
        await other.ended()
        text, chunks = told([line async for line in slow.stream()])
        assert text == "".join(words)
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert reader.rejoined > 0
        assert rig.first.parts.watches.open_watches == 0


@pytest.mark.parametrize("is_repeat", [True, False])
async def test_only_a_repeat_waits_for_the_end_of_a_replay_before_it_tells_anything(
    memory_bus: MemoryBus, is_repeat: bool
) -> None:
    async with running(memory_bus) as rig:
        reader = AnswerReader(rig.first.door, OWNER, max_bytes=1000, turn_s=20)
        accepted, _ = await rig.first.ask()
        watch = TurnWatch("s", 0, reader.take)
        watch.is_catching_up = True
        reader.follow(replace(accepted, watch=watch, is_repeat=is_repeat))
        reader.take(b'{"seq":2000001,"type":"text_delta","turn_id":"t","text":"Superseded"}', 2_000_001)
        assert isinstance(await anext(reader.events()), TextDelta)
        assert reader.is_behind is is_repeat
        watch.is_catching_up = False
        assert not reader.is_behind


async def test_what_was_superseded_before_it_was_told_is_not_told(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as rig:
        first, _ = await completion(rig.first, "my key")
        await first.whole()
        again, reader = await completion(rig.second, "my key")
        named = f'"turn_id":"{reader.turn.ref.client_turn_id}"'
        # The log as it stands when a worker has died in mid-answer and another has begun anew.
        superseded = [
            f'{{"seq":{EPOCH_SPAN + 1},"type":"text_delta",{named},"text":"Not this"}}',
            f'{{"seq":{2 * EPOCH_SPAN},"type":"epoch_started","follows":0,{named},"keep_chars":0}}',
        ]
        for seq, frame in enumerate(superseded):
            reader.take(frame.encode(), seq)
        assert told([line async for line in again.stream()])[0] == ANSWER


async def test_what_was_told_cannot_be_taken_back(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as rig:
        rig.model.may_go_on.clear()
        first, reader = await completion(rig.first)
        stream = first.stream()
        lines = [await anext(stream), await anext(stream)]
        named = f'"turn_id":"{reader.turn.ref.client_turn_id}"'
        restart = f'{{"seq":{3 * EPOCH_SPAN},"type":"epoch_started","follows":0,{named},"keep_chars":0}}'
        reader.take(restart.encode(), 3 * EPOCH_SPAN)
        lines += [line async for line in stream]
        _, chunks = told(lines)
        assert chunks[-1]["error"]["code"] == "upstream_failed"
        rig.model.may_go_on.set()
