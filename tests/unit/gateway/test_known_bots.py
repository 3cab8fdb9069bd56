"""What a gateway remembers of bots: asked for once, forgotten with a change, and never without bound."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import pytest
from parley_contracts import subjects
from parley_contracts.bots import BotChanged, BotSettings, PublicBot, ReadPublicBot
from parley_contracts.credentials import Revocation, RevokedKind
from parley_contracts.errors import ErrorCode, ParleyError
from parley_gateway.known_bots import KnownBots
from parley_messaging.memory_bus import MemoryBus


def bot_of(bot_id: str) -> PublicBot:
    settings = BotSettings(name=bot_id)
    return PublicBot(
        id=bot_id, owner_id="ada", version=1, settings=settings, created_at_ms=1, changed_at_ms=1
    )


@dataclass
class Told:
    """What accounts was asked, on a bus that a gateway's bots are on."""

    bus: MemoryBus
    bots: KnownBots
    asked: list[str] = field(default_factory=list[str])
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    has_asked: asyncio.Event = field(default_factory=asyncio.Event)
    is_away: bool = False

    async def read(self, request: ReadPublicBot) -> PublicBot:
        self.asked.append(request.bot_id)
        self.has_asked.set()
        await self.may_answer.wait()
        if self.is_away:
            raise ParleyError(ErrorCode.UNAVAILABLE, "Away.")
        if request.bot_id.startswith("no"):
            raise ParleyError(ErrorCode.NOT_FOUND, "There is no such bot.")
        return bot_of(request.bot_id)

    async def change(self, bot_id: str) -> None:
        event = BotChanged(bot_id=bot_id, owner_id="ada", version=2, changed_at_ms=2)
        await self.bus.publish_event(subjects.BOT_CHANGED, event, message_id=bot_id)

    async def refusal(self, bot_id: str) -> ErrorCode:
        with pytest.raises(ParleyError) as told:
            await self.bots.find(bot_id)
        return told.value.code


@pytest.fixture
async def told() -> AsyncGenerator[Told]:
    bus = MemoryBus()
    found = Told(bus, KnownBots(bus))
    found.may_answer.set()
    bus.answer(subjects.ACCOUNTS_READ_PUBLIC_BOT, ReadPublicBot, found.read)
    await bus.start()
    await found.bots.start()
    yield found
    await bus.close()


async def until_forgotten(told: Told) -> None:
    async with asyncio.timeout(5):
        while len(told.bots):  # noqa: ASYNC110 - an event has no answer
            await asyncio.sleep(0.01)


async def test_many_who_ask_at_once_have_one_question_asked(told: Told) -> None:
    told.may_answer.clear()
    asking = [asyncio.create_task(told.bots.find("a")) for _ in range(50)]
    async with asyncio.timeout(5):
        await told.has_asked.wait()
    told.may_answer.set()
    assert await asyncio.gather(*asking) == [bot_of("a")] * 50
    assert await told.bots.find("a") == bot_of("a")
    assert told.asked == ["a"]


async def test_a_change_has_it_asked_for_again(told: Told) -> None:
    await told.bots.find("a")
    await told.change("a")
    await until_forgotten(told)
    await told.bots.find("a")
    assert told.asked == ["a", "a"]


async def test_what_changes_while_it_is_asked_for_is_not_remembered(told: Told) -> None:
    told.may_answer.clear()
    asking = asyncio.create_task(told.bots.find("a"))
    async with asyncio.timeout(5):
        await told.has_asked.wait()
    told.bots.forget_all()
    told.may_answer.set()
    await asking
    assert len(told.bots) == 0


async def test_a_reconnect_has_everything_asked_for_again(told: Told) -> None:
    await told.bots.find("a")
    assert await told.refusal("no-b") is ErrorCode.NOT_FOUND
    assert len(told.bots) == 2
    told.bots.forget_all()
    assert len(told.bots) == 0


@pytest.mark.parametrize(
    ("kind", "revoked_id", "left"),
    [(RevokedKind.USER, "ada", 0), (RevokedKind.USER, "bob", 1), (RevokedKind.SESSION, "ada", 1)],
)
async def test_a_user_whose_rights_change_has_his_bots_forgotten(
    told: Told, kind: RevokedKind, revoked_id: str, left: int
) -> None:
    await told.bots.find("a")
    told.bots.forget_owner(Revocation(id="r", kind=kind, revoked_id=revoked_id, at_ms=1, expires_at_ms=2**53))
    assert len(told.bots) == left


async def test_what_is_not_there_is_asked_for_once_and_no_more_is_remembered_than_may_be(
    told: Told,
) -> None:
    told.bots = KnownBots(told.bus, most_remembered=10)
    for number in range(30):
        for _ in range(2):
            assert await told.refusal(f"no-{number}") is ErrorCode.NOT_FOUND
    assert (len(told.asked), len(told.bots)) == (30, 10)
    assert await told.refusal("") is await told.refusal("x" * 65) is ErrorCode.NOT_FOUND
    assert len(told.asked) == 30


async def test_while_accounts_is_away_what_is_remembered_answers_and_nothing_else(told: Told) -> None:
    await told.bots.find("a")
    told.is_away = True
    assert await told.bots.find("a") == bot_of("a")
    assert await told.refusal("b") is ErrorCode.UNAVAILABLE
    told.is_away = False
    assert await told.bots.find("b") == bot_of("b")
