"""Which model of a chain is asked first, by what is known of them; and the frames that name a chain."""

from typing import Any

import pytest
from parley_contracts import subjects
from parley_contracts.client_frames import StartTurnFrame
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import Capability, ListModels, ModelInfo, ModelList
from parley_contracts.response_format import ResponseFormat
from parley_contracts.tools import ToolSpec
from parley_contracts.turns import GenerationParams, ModelLink, StartTurn, TurnBot, TurnRef
from parley_gateway.admission import Admission, Capacity
from parley_gateway.completion_request import CompletionRequest
from parley_gateway.inline_files import InlineFiles
from parley_gateway.model_choice import ModelChoice, asked_chain, going_on_with
from parley_gateway.models import Models
from parley_gateway.queue_lag import QueueLag
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.queues import llm_jobs
from pydantic import ValidationError

TOOL = ToolSpec(name="t", description="", parameters={"type": "object"})
JSON = GenerationParams(response_format=ResponseFormat(type="json_object"))
KNOWN: dict[str, tuple[Capability, ...]] = {
    "a/plain": ("json",),
    "b/able": ("tools", "vision", "json"),
    "c/unknown": (),
    "extractive": (),
}


class FullPools(QueueLag):
    """Queues that wait as the test says."""

    def __init__(self, full: set[str]) -> None:
        super().__init__(MemoryBus(), lambda: [llm_jobs("a")], max_turns=100)
        self.full = full

    def waiting(self, pool: str | None) -> int:
        return 100 if pool in self.full else 0


def command(**fields: Any) -> StartTurn:
    return StartTurn(
        turn=TurnRef(turn_id="t1", client_turn_id="c1", owner_id="o1", home="h1"),
        conversation_id="conversation",
        continues_conversation=False,
        text="Who?",
        accepted_at_ms=0,
        deadline_ms=1,
        **fields,
    )


def choice_of(bus: MemoryBus, full: set[str] | None = None) -> ModelChoice:
    async def list_models(_: ListModels) -> ModelList:
        return ModelList(
            models=tuple(
                ModelInfo(
                    id=name,
                    pool=name.partition("/")[0],
                    context_tokens=1000 * (number + 1),
                    owned_by="test",
                    capabilities=can,
                )
                for number, (name, can) in enumerate(KNOWN.items())
            )
        )

    bus.answer(subjects.LLM_MODELS, ListModels, list_models)
    admission = Admission(Capacity(watched=100, total=100, waiting=10), FullPools(full or set()))
    return ModelChoice(Models(bus), admission)


def links(*names: str) -> tuple[ModelLink, ...]:
    return asked_chain(None, names)


async def order(choice: ModelChoice, asked: StartTurn, *names: str) -> list[str]:
    found = await choice.choose(asked, links(*names))
    assert found.chosen is not None
    return [found.chosen.id, *(link.model for link in found.fallbacks)]


@pytest.fixture
async def bus(memory_bus: MemoryBus) -> MemoryBus:
    return memory_bus


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["a/plain", "b/able", "c/unknown", "extractive"]),
        ({"tools": (TOOL,)}, ["b/able", "c/unknown"]),
        ({"named_tools": ("calculate",)}, ["b/able", "c/unknown"]),
        (
            {"tools": (TOOL,), "params": GenerationParams(tool_choice="none")},
            ["a/plain", "b/able", "c/unknown", "extractive"],
        ),
        ({"params": JSON}, ["a/plain", "b/able", "c/unknown"]),
    ],
    ids=["nothing", "tools", "named-tools", "tools-not-called", "json"],
)
async def test_those_known_to_be_unable_are_left_out(
    bus: MemoryBus, asked: dict[str, Any], expected: list[str]
) -> None:
    assert await order(choice_of(bus), command(**asked), *KNOWN) == expected


async def test_where_all_are_unable_all_of_them_are_asked_in_their_order(bus: MemoryBus) -> None:
    asked = command(tools=(TOOL,))
    assert await order(choice_of(bus), asked, "extractive", "a/plain") == ["extractive", "a/plain"]


async def test_images_are_shown_only_to_those_known_to_see(bus: MemoryBus) -> None:
    choice = choice_of(bus)
    found = await choice.choose(command(), links(*KNOWN), image_field="attachments")
    assert found.chosen is not None
    assert (found.chosen.id, found.chosen.sees_images, found.fallbacks) == ("b/able", True, ())
    for names in (("a/plain", "c/unknown"), ("extractive",), ()):
        with pytest.raises(ParleyError) as told:
            await choice.choose(command(), links(*names), image_field="attachments")
        assert (told.value.code, told.value.field) == (ErrorCode.INVALID_REQUEST, "attachments")


async def test_of_those_that_follow_it_is_told_whether_they_see(bus: MemoryBus) -> None:
    found = await choice_of(bus).choose(command(), links("a/plain", "b/able", "c/unknown"))
    assert [(link.model, link.sees_images) for link in found.fallbacks] == [
        ("b/able", True),
        ("c/unknown", False),
    ]


async def test_those_that_are_not_there_are_passed_over(bus: MemoryBus) -> None:
    assert await order(choice_of(bus), command(), "x/away", "b/able", "y/away") == ["b/able"]


async def test_those_whose_queue_is_full_come_last_and_the_door_goes_by_the_first_with_room(
    bus: MemoryBus,
) -> None:
    choice = choice_of(bus, {"a", "b"})
    asked = ["a/plain", "b/able", "c/unknown"]
    assert await order(choice, command(), *asked) == ["c/unknown", "a/plain", "b/able"]
    assert choice.pool(links(*asked)) == "c"
    assert choice.pool(links(*asked[:2])) == "a"


async def test_what_follows_is_told_how_much_it_can_read_and_how_it_is_asked(bus: MemoryBus) -> None:
    hot = GenerationParams(temperature=1.5)
    chain = (ModelLink(model="b/able", params=hot), ModelLink(model="a/plain"))
    found = await choice_of(bus).choose(command(), chain)
    assert found.params == hot
    assert found.fallbacks == (ModelLink(model="a/plain", context_tokens=1000),)


@pytest.mark.parametrize(
    ("names", "bot", "code", "field"),
    [
        (["x/away"], None, ErrorCode.MODEL_NOT_FOUND, "model"),
        (["x/away", "y/away"], None, ErrorCode.MODEL_NOT_FOUND, "models"),
        (["x/away"], TurnBot(id="b", version=1, owner_id="o2"), ErrorCode.UNAVAILABLE, None),
    ],
    ids=["one", "several", "a-bots"],
)
async def test_where_none_is_there_it_is_said_in_the_words_of_who_named_them(
    bus: MemoryBus, names: list[str], bot: TurnBot | None, code: ErrorCode, field: str | None
) -> None:
    with pytest.raises(ParleyError) as told:
        await choice_of(bus).choose(command(bot=bot), links(*names))
    assert (told.value.code, told.value.field) == (code, field)


def test_each_model_is_asked_once_and_the_one_named_alone_first() -> None:
    assert [link.model for link in asked_chain("a", ("b", "a", "c", "b"))] == ["a", "b", "c"]
    assert [link.model for link in asked_chain(None, ("b",))] == ["b"]
    assert asked_chain(None, ()) == ()


def test_who_wrote_one_round_writes_the_next() -> None:
    chain = links("a", "b", "c")
    assert going_on_with(chain, None) == (chain[0], chain[1:])
    assert going_on_with(chain, "b") == (chain[1], chain[2:])
    assert going_on_with(chain, "extractive") == (chain[0], chain[1:])


def test_a_completion_names_a_chain_as_a_frame_does_and_what_is_not_known_is_refused() -> None:
    asked = {"model": "a", "messages": [{"role": "user", "content": "Who?"}]}
    request = CompletionRequest.model_validate({**asked, "models": ["b", "c"]})
    frame = request.start_frame(None, request.said(InlineFiles("o1", max_bytes=1)))
    assert (frame.model, frame.models) == ("a", ("b", "c"))
    for wrong in ({"models": [""]}, {"models": ["m"] * 9}, {"fallbacks": ["b"]}):
        with pytest.raises(ValidationError):
            CompletionRequest.model_validate({**asked, **wrong})


def test_a_frame_may_hold_what_older_gateways_do_not_know() -> None:
    frame = StartTurnFrame.model_validate(
        {"type": "start_turn", "text": "Who?", "models": ["b"], "hedge": True}
    )
    assert (frame.model, frame.models) == (None, ("b",))
