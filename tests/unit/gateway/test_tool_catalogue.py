"""Which tools there are: found when they come up, forgotten when gone, and nobody takes another's name."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from parley_contracts import subjects
from parley_contracts.tool_calls import ToolsOffered
from parley_contracts.tools import ToolSpec
from parley_gateway import tool_catalogue
from parley_gateway.tool_catalogue import ToolCatalogue
from parley_messaging.bus import Bus, Delivery
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.tool_offers import ToolOffers

from tests.unit.gateway.tool_bench import Shop, offering

PRICE = "shop__price"


@asynccontextmanager
async def catalogue_on(bus: Bus) -> AsyncGenerator[ToolCatalogue]:
    found = ToolCatalogue(bus)
    await found.start()
    try:
        yield found
    finally:
        await bus.close()


async def offer(bus: Bus, user: str, *names: str, description: str = "") -> None:
    specs = tuple(ToolSpec(name=name, description=description) for name in names)
    await bus.publish(subjects.tool_offered(user), ToolsOffered(tools=specs).model_dump_json().encode())
    # The memory bus delivers in tasks of its own.
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.fixture
def questions() -> list[bytes]:
    return []


async def counting(bus: Bus, questions: list[bytes]) -> None:
    async def count(delivery: Delivery) -> None:
        questions.append(delivery.data)

    await bus.subscribe(subjects.TOOL_DESCRIBE, count)


async def test_a_tool_that_is_there_already_is_found_by_asking() -> None:
    bus = MemoryBus()
    async with catalogue_on(bus), offering(bus, Shop()):
        late = ToolCatalogue(bus)
        await late.start()
        found = await late.named((PRICE, "shop__stock", "shop__rent"))
    assert sorted(found) == [PRICE, "shop__stock"]
    assert found[PRICE].subject == subjects.outside_tool_call("shop", "price")
    assert (found[PRICE].own_name, found[PRICE].is_ours) == ("price", False)


async def test_a_tool_that_comes_up_is_known_without_asking(questions: list[bytes]) -> None:
    bus = MemoryBus()
    async with catalogue_on(bus) as found:
        await counting(bus, questions)
        assert await found.named((PRICE,)) == {}
        async with offering(bus, Shop()):
            for _ in range(10):
                # The memory bus delivers in tasks of its own.
                await asyncio.sleep(0)
            assert list(await found.named((PRICE,))) == [PRICE]
        assert len(questions) == 1


async def test_everybody_is_asked_at_most_every_few_seconds(
    questions: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = MemoryBus()
    async with catalogue_on(bus) as found, offering(bus, Shop()):
        await counting(bus, questions)
        for _ in range(10):
            assert list(await found.named((PRICE,))) == [PRICE]
        await asyncio.sleep(0)
        assert len(questions) == 1
        monkeypatch.setattr(tool_catalogue, "ASK_EVERY_S", 0.0)
        await found.named((PRICE,))
        await asyncio.sleep(0)
        assert len(questions) == 2


async def test_nobody_is_asked_for_a_turn_without_tools(questions: list[bytes]) -> None:
    bus = MemoryBus()
    async with catalogue_on(bus) as found:
        await counting(bus, questions)
        assert await found.named(()) == {}
        await asyncio.sleep(0)
    assert questions == []


async def test_who_is_silent_when_asked_offers_nothing_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_catalogue, "ASK_EVERY_S", 0.0)
    monkeypatch.setattr(tool_catalogue, "SILENCE_S", 0.0)
    bus = MemoryBus()
    async with catalogue_on(bus) as found:
        await offer(bus, "tools-shop", "price")
        assert list(await found.named((PRICE,))) == [PRICE]
        assert await found.named((PRICE,)) == {}


SHADOWS = {
    "a tool of ours by another team": ("tools-shop", "calculate", "calculate"),
    "a tool of ours by another service of ours": ("browser", "calculate", "calculate"),
    "another team's by its whole name": ("tools-thief", "shop__price", PRICE),
    "another team's by a service of ours": ("rag", "shop__price", PRICE),
    "another team's by who may only start turns": ("ext-shop", "price", PRICE),
    "a tool of ours by a user of its name": ("tools-llm", "calculate", "calculate"),
}


@pytest.mark.parametrize("case", SHADOWS)
async def test_nobody_takes_a_name_that_is_another_s(case: str) -> None:
    user, name, wanted = SHADOWS[case]
    bus = MemoryBus()
    async with catalogue_on(bus) as found:
        await offer(bus, "llm", "calculate", description="ours")
        await offer(bus, "tools-shop", "price", description="the shop's")
        before = await found.named((wanted,))
        await offer(bus, user, name, description="another")
        after = await found.named((wanted,))
    if user == "tools-shop":
        # It has said anew what it offers itself, which is under its own name.
        assert after["calculate"] == before["calculate"]
    else:
        assert after == before
    assert [tool.spec.description for tool in after.values()] != ["another"]


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b'{"tools": 1}', b'{"tools": [{"name": "a b"}]}', b" " * (257 * 1024)],
    ids=["nothing", "no JSON", "no list", "a name that cannot be one", "too long"],
)
async def test_an_offer_that_cannot_be_read_changes_nothing(data: bytes) -> None:
    bus = MemoryBus()
    async with catalogue_on(bus) as found:
        await offer(bus, "tools-shop", "price")
        await bus.publish(subjects.tool_offered("tools-shop"), data)
        await asyncio.sleep(0)
        assert list(await found.named((PRICE,))) == [PRICE]


async def test_so_many_that_offer_tools_are_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_catalogue, "MAX_USERS", 2)
    bus = MemoryBus()
    async with catalogue_on(bus) as found:
        for user in ("tools-a", "tools-b", "tools-c"):
            await offer(bus, user, "x")
        assert sorted(await found.named(("a__x", "b__x", "c__x"))) == ["a__x", "b__x"]


async def test_a_service_says_anew_what_it_offers_when_the_bus_is_back() -> None:
    bus, heard = MemoryBus(), list[str]()
    told = asyncio.Event()

    async def hear(delivery: Delivery) -> None:
        heard.append(delivery.subject)
        told.set()

    await bus.subscribe(subjects.ALL_TOOL_OFFERS, hear)
    async with offering(bus, Shop()):
        for times in (1, 2):
            async with asyncio.timeout(5):
                await told.wait()
            told.clear()
            assert len(heard) == times
            bus.reconnect()
    await bus.close()


async def test_of_a_service_s_replicas_one_answers_the_question() -> None:
    bus, heard = MemoryBus(), list[str]()

    async def hear(delivery: Delivery) -> None:
        heard.append(delivery.subject)

    replicas = [ToolOffers(bus, user) for user in ("tools-shop", "tools-shop", "tools-bank")]
    for one in replicas:
        await one.start()
    await bus.subscribe(subjects.ALL_TOOL_OFFERS, hear)
    await bus.publish(subjects.TOOL_DESCRIBE, b"{}")
    for _ in range(5):
        await asyncio.sleep(0)
    assert sorted(heard) == [subjects.tool_offered("tools-bank"), subjects.tool_offered("tools-shop")]
    await bus.close()
