"""A turn whose model calls tools that Parley runs: the rounds, their faults, their bounds and their end."""

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import GenerateJob, ModelInfo
from parley_contracts.tool_calls import CallGivenUp, CallTool, ToolResult
from parley_contracts.tools import ToolCall, ToolSpec
from parley_contracts.turn_events import (
    GenerationFinished,
    ToolCalled,
    ToolFinished,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
)
from parley_contracts.turns import EPOCH_SPAN, PenClaim, PenRole, Seal, StartTurn, TokenUsage, TurnRef
from parley_gateway import turn_stopper
from parley_gateway.prompt import WITH_TOOLS
from parley_gateway.tool_rounds import MAX_CALLS, is_of_parley, without_parleys
from parley_llm.language_model import Chunk
from parley_messaging.bus import Delivery
from parley_messaging.memory_bus import MemoryBus

from tests.unit.gateway.rig import OWNER, Rig, Seen, running
from tests.unit.gateway.tool_bench import SPENT, Shop, calling, offering, saying

TOOLS = ("shop__price", "shop__stock")
PRICE, STOCK = TOOLS


def results(seen: Seen) -> list[ToolFinished]:
    return [event for event in seen.events if isinstance(event, ToolFinished)]


async def ask(rig: Rig, **fields: object) -> Seen:
    asked: dict[str, object] = {"collections": (), "tools": TOOLS, **fields}
    _, seen = await rig.first.ask("How much is tea?", **asked)
    return seen


async def test_a_tool_is_called_and_the_model_goes_on_with_what_it_says(memory_bus: MemoryBus) -> None:
    shop = Shop()
    async with running(memory_bus) as rig, offering(rig.bus, shop):
        rig.model.script = [calling((PRICE, '{"of": "tea"}'), text="Let me see. "), saying("It is 7.")]
        seen = await ask(rig)
        ended = await seen.ended()
    assert isinstance(ended, TurnCompleted)
    assert (seen.text, ended.finish_reason, ended.tool_calls) == ("Let me see. It is 7.", "stop", ())
    assert [(call.name, call.arguments, call.owner_id) for call in shop.calls] == [
        ("price", '{"of": "tea"}', "owner-1")
    ]
    assert [(one.name, one.text, one.is_error) for one in results(seen)] == [
        (PRICE, 'price of {"of": "tea"} is 7', False)
    ]
    first, second = rig.model.calls
    assert [spec.name for spec in first.tools] == list(TOOLS)
    assert WITH_TOOLS in first.messages[0].content
    assert second.messages[: len(first.messages)] == first.messages
    said, told = second.messages[len(first.messages) :]
    assert (said.role, said.content, said.tool_calls[0].arguments) == (
        "assistant",
        "Let me see. ",
        '{"of": "tea"}',
    )
    assert (told.role, told.tool_call_id) == ("tool", said.tool_calls[0].id)
    assert told.content == 'price of {"of": "tea"} is 7'
    assert second.kept_text == "Let me see. "


async def test_every_epoch_has_a_pen_slot_and_usage_is_that_of_all_rounds(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as rig, offering(rig.bus, Shop()):
        rig.model.script = [calling((PRICE, "{}")), calling((STOCK, "{}")), saying("Both are 7.")]
        seen = await ask(rig)
        ended = await seen.ended()
        turn_id = rig.model.calls[0].turn.turn_id
        records = await rig.first.pen.read_all(turn_id)
    claims = [one.role for one in records if isinstance(one, PenClaim)]
    assert claims == [PenRole.RUNNER, PenRole.WORKER] * 3
    assert isinstance(records[-1], Seal)
    assert isinstance(ended, TurnCompleted)
    assert ended.usage == SPENT + SPENT + SPENT == TokenUsage(prompt_tokens=15, completion_tokens=6)
    assert [seq % EPOCH_SPAN for seq in (event.seq for event in seen.events) if seq // EPOCH_SPAN == 3] == [
        0,
        1,
        2,
        3,
    ]


async def test_calls_of_one_round_run_at_the_same_time(memory_bus: MemoryBus) -> None:
    both = asyncio.Barrier(2)

    async def meet(_: CallTool) -> ToolResult:
        await both.wait()
        return ToolResult(text="met")

    async with running(memory_bus) as rig, offering(rig.bus, Shop(run=meet)):
        rig.model.script = [calling((PRICE, "{}"), (STOCK, "{}")), saying("Done.")]
        seen = await ask(rig)
        await seen.ended()
    assert [one.text for one in results(seen)] == ["met", "met"]
    told = [message.content for message in rig.model.calls[1].messages if message.role == "tool"]
    assert told == ["met", "met"]


async def broken(_: CallTool) -> ToolResult:
    raise RuntimeError("the till is on fire")


async def refusing(_: CallTool) -> ToolResult:
    raise ParleyError(ErrorCode.INVALID_REQUEST, "of: must not be empty", field="of")


async def erring(_: CallTool) -> ToolResult:
    return ToolResult(text="There is no tea.", is_error=True)


FAULTS = {
    "one that fails inside": (broken, PRICE, "{}", "Something went wrong inside the service."),
    "one that refuses": (refusing, PRICE, "{}", "of: must not be empty"),
    "one that says that it failed": (erring, PRICE, "{}", "There is no tea."),
    "one that nobody offers": (None, "shop__rent", "{}", "There is no tool 'shop__rent'."),
    "one that the turn does not name": (None, "calculate", "{}", "There is no tool 'calculate'."),
    "arguments that are no JSON": (None, PRICE, '{"of": ', "The arguments are no JSON"),
    "arguments that are no object": (None, PRICE, "[1]", "The arguments have to be one JSON object."),
    "arguments that go on for ever": (None, PRICE, '"' + "a" * 70_000 + '"', "longer than 65,536"),
}


@pytest.mark.parametrize("case", FAULTS)
async def test_what_goes_wrong_with_a_call_is_told_to_the_model(memory_bus: MemoryBus, case: str) -> None:
    run, name, arguments, told = FAULTS[case]
    async with running(memory_bus) as rig, offering(rig.bus, Shop(run=run)):
        rig.model.script = [calling((name, arguments)), saying("I could not find out.")]
        seen = await ask(rig)
        ended = await seen.ended()
    assert isinstance(ended, TurnCompleted)
    [result] = results(seen)
    assert result.is_error
    assert told in result.text
    assert rig.model.calls[1].messages[-1].content == result.text
    assert "on fire" not in result.text
    # Servers of models read what they are shown of earlier calls.
    [shown] = rig.model.calls[1].messages[-2].tool_calls
    assert isinstance(json.loads(shown.arguments), dict)


async def test_a_tool_that_takes_too_long_is_given_up_alone(memory_bus: MemoryBus) -> None:
    async def hang(call: CallTool) -> ToolResult:
        if call.name == "price":
            await asyncio.Event().wait()
        return ToolResult(text="12 left")

    shop = Shop(run=hang)
    async with running(memory_bus, gateway_tool_call_s=0.05) as rig, offering(rig.bus, shop):
        rig.model.script = [calling((PRICE, "{}"), (STOCK, "{}")), saying("12 are left.")]
        seen = await ask(rig)
        await seen.ended()
    told = {one.name: (one.text, one.is_error) for one in results(seen)}
    assert told == {PRICE: ("The tool took longer than allowed.", True), STOCK: ("12 left", False)}
    assert shop.cancelled == 1


async def test_a_model_that_calls_on_and_on_is_told_to_answer_and_then_ended(memory_bus: MemoryBus) -> None:
    shop = Shop()
    async with running(memory_bus) as rig, offering(rig.bus, shop):
        rig.model.script = [calling((PRICE, "{}")) for _ in range(20)]
        seen = await ask(rig)
        ended = await seen.ended()
    assert isinstance(ended, TurnCompleted)
    assert (len(shop.calls), len(rig.model.calls)) == (8, 9)
    assert [job.params.tool_choice for job in rig.model.calls] == [None] * 8 + ["none"]
    assert (ended.finish_reason, ended.tool_calls) == ("length", ())
    assert len({call.call_id for call in shop.calls}) == 8


async def test_of_too_many_calls_at_once_the_rest_is_refused_in_words(memory_bus: MemoryBus) -> None:
    shop = Shop()
    async with running(memory_bus) as rig, offering(rig.bus, shop):
        rig.model.script = [calling(*[(PRICE, "{}")] * (MAX_CALLS + 1)), saying("Enough.")]
        seen = await ask(rig)
        await seen.ended()
    assert len(shop.calls) == MAX_CALLS
    assert [one.text for one in results(seen) if one.is_error] == [
        "Not called: at most 16 tools are called at once."
    ]


async def test_what_a_tool_says_is_cut_to_what_the_model_can_read(memory_bus: MemoryBus) -> None:
    async def talk(_: CallTool) -> ToolResult:
        return ToolResult(text="blah " * 10_000)

    async with running(memory_bus) as rig, offering(rig.bus, Shop(run=talk)):
        rig.model.script = [calling((PRICE, "{}")), calling((PRICE, "{}")), saying("Enough.")]
        seen = await ask(rig)
        await seen.ended()
    first, second = results(seen)
    assert "is left out.]" in first.text
    assert len(second.text) < len(first.text) < 50_000
    read = sum(len(message.content) for message in rig.model.calls[-1].messages)
    assert read < 4096 * 3 * 0.75


async def test_a_stop_ends_the_turn_and_its_calls_at_once(memory_bus: MemoryBus) -> None:
    async def hang(_: CallTool) -> ToolResult:
        await asyncio.Event().wait()
        raise AssertionError

    shop, told = Shop(run=hang), asyncio.Queue[CallGivenUp]()

    async def hear(delivery: Delivery) -> None:
        told.put_nowait(CallGivenUp.model_validate_json(delivery.data))

    async with running(memory_bus) as rig, offering(rig.bus, shop):
        await rig.bus.subscribe(subjects.tool_given_up("tools-shop"), hear)
        rig.model.script = [calling((PRICE, "{}"), text="Let me see. ")]
        accepted, seen = await rig.first.ask(collections=(), tools=TOOLS)
        await shop.called(1)
        await rig.second.door.cancel(OWNER, accepted.ref.client_turn_id)
        ended = await seen.ended()
        # On a bus between processes only this tells the shop.
        async with asyncio.timeout(10):
            given_up = await told.get()
    [call] = shop.calls
    assert (given_up.turn_id, given_up.call_id) == (call.turn_id, call.call_id)
    assert given_up.attempt == call.attempt != ""
    assert isinstance(ended, TurnCancelled)
    assert (ended.is_confirmed, ended.kept_chars) == (True, len("Let me see. "))
    assert shop.cancelled == 1
    assert results(seen) == []
    # What the model was asked so far is paid, and no call of it that was not made.
    seal = rig.neighbours.stored[accepted.ref.turn_id]
    assert (seal.model, seal.usage) == ("scripted", SPENT)


async def test_a_stop_whose_runner_is_gone_costs_what_the_rounds_have_cost(
    memory_bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_: CallTool) -> ToolResult:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(turn_stopper, "ANSWER_S", 0.1)
    shop = Shop(run=hang)
    async with running(memory_bus, runs_turns=False) as rig, offering(rig.bus, shop):
        rig.model.script = [calling((PRICE, "{}"), text="Let me see. ")]
        accepted, seen = await rig.first.ask(collections=(), tools=TOOLS)
        async with asyncio.TaskGroup() as tasks:
            dying = tasks.create_task(rig.first.loop.run())
            await shop.called(1)
            dying.cancel()
        rig.second.stopper.see_to(await rig.second.door.cancel(OWNER, accepted.ref.client_turn_id))
        ended = await seen.ended()
        seal = rig.neighbours.stored[accepted.ref.turn_id]
    assert isinstance(ended, TurnCancelled)
    assert (seal.text, seal.model, seal.usage) == ("Let me see. ", "scripted", SPENT)


async def test_the_turn_fails_when_its_time_is_over_while_a_tool_is_called(memory_bus: MemoryBus) -> None:
    async def hang(_: CallTool) -> ToolResult:
        await asyncio.Event().wait()
        raise AssertionError

    async with running(memory_bus, gateway_turn_s=1.0) as rig, offering(rig.bus, Shop(run=hang)):
        rig.model.script = [calling((PRICE, "{}"))]
        accepted, seen = await rig.first.ask(collections=(), tools=TOOLS)
        ended = await seen.ended()
        seal = rig.neighbours.stored[accepted.ref.turn_id]
    assert isinstance(ended, TurnFailed)
    assert (ended.code, seal.usage) == (ErrorCode.TIMEOUT, SPENT)


async def test_who_takes_over_calls_again_only_what_has_no_end_yet(memory_bus: MemoryBus) -> None:
    hangs = asyncio.Event()

    async def answer(call: CallTool) -> ToolResult:
        if call.name == "stock" and not hangs.is_set():
            await asyncio.Event().wait()
        return ToolResult(text=f"{call.name}: 7")

    shop = Shop(run=answer)
    async with running(memory_bus, runs_turns=False) as rig, offering(rig.bus, shop):
        rig.model.script = [calling((PRICE, "{}"), (STOCK, "{}"), text="Well. "), saying("7 and 7.")]
        seen = await ask(rig)
        async with asyncio.TaskGroup() as tasks:
            dying = tasks.create_task(rig.first.loop.run())
            await seen.until(lambda found: bool(results(found)))
            dying.cancel()
        hangs.set()
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(rig.second.loop.run())
            ended = await seen.ended()
            working.cancel()
    assert isinstance(ended, TurnCompleted)
    assert seen.text == "Well. 7 and 7."
    assert sorted(call.name for call in shop.calls) == ["price", "stock", "stock"]
    assert len({call.call_id for call in shop.calls}) == 2
    assert [event.name for event in seen.events if isinstance(event, ToolCalled)] == [PRICE, STOCK]
    assert ended.usage == SPENT + SPENT
    told = [message.content for message in rig.model.calls[1].messages if message.role == "tool"]
    assert told == ["price: 7", "stock: 7"]
    # The question and its passages are what they were, though another runner has put them together.
    assert rig.model.calls[1].messages[:2] == rig.model.calls[0].messages[:2]


def finished(*names: str) -> GenerationFinished:
    calls = tuple(ToolCall(id=name, name=name, arguments="{}") for name in names)
    usage = TokenUsage()
    return GenerationFinished(
        seq=1, turn_id="t", text="", model="m", usage=usage, finish_reason="tool_calls", tool_calls=calls
    )


@pytest.mark.parametrize(
    ("called", "is_parleys", "told", "reason"),
    [
        ((PRICE,), True, (), "length"),
        ((PRICE, "open_door"), False, ("open_door",), "tool_calls"),
        (("open_door",), False, ("open_door",), "tool_calls"),
        ((STOCK,), False, (STOCK,), "tool_calls"),
    ],
    ids=["all Parley's", "some the caller's", "all the caller's", "the caller's of Parley's name"],
)
def test_a_round_with_a_tool_of_the_callers_is_the_callers(
    called: tuple[str, ...], *, is_parleys: bool, told: tuple[str, ...], reason: str
) -> None:
    ref = TurnRef(turn_id="t", client_turn_id="t", owner_id="ada", home="h")
    own = (ToolSpec(name="open_door"), ToolSpec(name=STOCK))
    command = StartTurn(
        turn=ref,
        conversation_id="c",
        continues_conversation=False,
        text="?",
        tools=own,
        named_tools=TOOLS,
        accepted_at_ms=0,
        deadline_ms=0,
    )
    assert is_of_parley(command, finished(*called)) == is_parleys
    shown = without_parleys(command, finished(*called))
    assert tuple(call.name for call in shown.tool_calls) == told
    assert shown.finish_reason == reason


async def test_who_has_called_a_tool_in_place_of_another_goes_on_with_its_results(
    memory_bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop()
    async with running(memory_bus) as rig, offering(rig.bus, shop):
        whole = rig.model.generate
        asked: list[tuple[str, list[str]]] = []

        async def listed() -> tuple[ModelInfo, ...]:
            return tuple(
                ModelInfo(id=name, pool="scripted", context_tokens=4096, owned_by="test")
                for name in ("scripted", "second", "third")
            )

        async def generate(job: GenerateJob, *, written: str = "") -> AsyncGenerator[Chunk, None]:
            asked.append((job.model, [link.model for link in job.fallbacks]))
            if job.model == "scripted":
                raise ParleyError(ErrorCode.OVERLOADED, "Not now.")
            async for chunk in whole(job, written=written):
                yield chunk

        monkeypatch.setattr(rig.model, "models", listed)
        monkeypatch.setattr(rig.model, "serves", bool)
        monkeypatch.setattr(rig.model, "generate", generate)
        rig.model.script = [calling((PRICE, '{"of": "tea"}')), saying("It is 7.")]
        seen = await ask(rig, model="scripted", models=("second", "third"))
        ended = await seen.ended()
    assert isinstance(ended, TurnCompleted)
    assert (seen.text, ended.model, ended.degraded) == ("It is 7.", "second", ("model",))
    assert asked == [
        ("scripted", ["second", "third"]),
        ("second", ["third"]),
        ("second", ["third"]),
    ]
