"""Quotas at the door: reserved, settled from what a turn has really spent, and never open."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from parley_accounts.tables import STORE
from parley_contracts import subjects
from parley_contracts.bots import BotLimits
from parley_contracts.client_frames import StartTurnFrame
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Role
from parley_contracts.turn_events import TurnCancelled, TurnCompleted
from parley_contracts.turns import StartTurn, TokenUsage, TurnBot, TurnRef
from parley_contracts.usage import ReadUsage, UsageReport
from parley_gateway.exceeded_quotas import QuotaExceededError
from parley_gateway.ids import OwnedIds
from parley_gateway.limits import Asking, Limits, asks
from parley_gateway.prices import Prices
from parley_gateway.principal import Principal
from parley_gateway.settings import GatewaySettings
from parley_gateway.shared_ledger import SharedLedger
from parley_gateway.spending import BotPayer, Spending
from parley_gateway.turn_parts import TurnParts
from parley_gateway.turn_quotas import TurnQuotas
from parley_gateway.visitor_tokens import VISITOR_START
from parley_limits import LedgerAwayError, MemoryBuckets, MemoryLedger, Most
from parley_messaging.circuit import Circuit
from parley_messaging.memory_bus import MemoryBus

from tests.unit.accounts.accounts_rig import OWNER, Accounts, open_accounts
from tests.unit.gateway.rig import ANSWER, Gateway, Rig, Seen, running

ADA = Principal("ada", Role.MEMBER)


class LedgerOfAll(MemoryLedger):
    """What gateways share; it is emptied or away when a test says so."""

    is_away = False

    def __getattribute__(self, name: str) -> Any:
        if name in {"reserve", "adopt", "prove", "begin", "load", "settle", "release"} and self.is_away:
            raise LedgerAwayError("Redis is away.")
        return super().__getattribute__(name)


class Shared:
    """A ledger behind a name, so that another one may take its place."""

    def __init__(self) -> None:
        self.ledger = LedgerOfAll(MemoryBuckets())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ledger, name)

    def empty(self) -> None:
        self.ledger = LedgerOfAll(MemoryBuckets())


def limits_of(bus: MemoryBus, shared: Any, **settings: Any) -> Limits:
    found = GatewaySettings(**settings)
    buckets = MemoryBuckets()
    ledger = SharedLedger(shared, Circuit("limits", cool_down_s=0), buckets, share=lambda: 1 / 2)
    quotas = TurnQuotas(bus, ledger, Spending(found), Circuit("accounts-usage"))
    return Limits(found, buckets, quotas)


class Counted:
    """A rig with quotas at both of its gateways, and the accounts service behind them."""

    def __init__(self, rig: Rig, accounts: Accounts, shared: Shared) -> None:
        self.rig = rig
        self.accounts = accounts
        self.shared = shared

    async def ask(self, gateway: Gateway, turn_id: str, principal: Principal = ADA) -> Seen | ErrorCode:
        seen = Seen()
        frame = StartTurnFrame(type="start_turn", text="Who has the pen?", turn_id=turn_id, collections=())
        try:
            await gateway.door.start(principal, frame, seen.take)
        except ParleyError as error:
            return error.code
        return seen

    async def accepted(self, count: int, *, of: str = "t") -> list[Seen]:
        """Return what was seen of those accepted of so many turns at once, at both gateways."""
        gateways = (self.rig.first, self.rig.second)
        found = await asyncio.gather(*(self.ask(gateways[n % 2], f"{of}{n}") for n in range(count)))
        assert {one for one in found if isinstance(one, ErrorCode)} <= {ErrorCode.QUOTA_EXCEEDED}
        return [one for one in found if isinstance(one, Seen)]

    async def spent(self, turns: int) -> UsageReport:
        """Return what was spent as soon as so many turns are counted."""
        async with asyncio.timeout(20):
            while True:
                request = ReadUsage(**OWNER, of_all=True)
                found = await self.accounts.ask(subjects.ACCOUNTS_READ_USAGE, request, UsageReport)
                if found.total.turns >= turns:
                    return found
                await asyncio.sleep(0.01)


@asynccontextmanager
async def open_counted(
    tmp_path: Path, *, runs_turns: bool = True, **settings: Any
) -> AsyncGenerator[Counted]:
    bus, shared = MemoryBus(), Shared()
    async with (
        open_accounts(STORE.url(None, tmp_path), bus=bus) as accounts,
        running(bus, runs_turns=runs_turns) as rig,
    ):
        for gateway in (rig.first, rig.second):
            limits = limits_of(bus, shared, **settings)
            gateway.door.limits = limits
            gateway.ending.count_by(limits.quotas)
        yield Counted(rig, accounts, shared)


async def test_so_many_turns_are_accepted_as_the_quota_says_and_each_is_counted_once(tmp_path: Path) -> None:
    async with open_counted(tmp_path, gateway_quota_member_day="turns=5") as counted:
        accepted = await counted.accepted(16)
        assert len(accepted) == 5
        for seen in accepted:
            assert isinstance(await seen.ended(), TurnCompleted)
        report = await counted.spent(5)
        [row] = report.rows
        assert (row.user_id, row.bot_id, row.model, row.turns) == ("ada", None, "scripted", 5)
        assert row.completion_tokens > 0
        assert await counted.accepted(4, of="u") == []


async def test_many_users_whose_quotas_nobody_knows_yet_are_all_let_in_at_once(tmp_path: Path) -> None:
    async with open_counted(tmp_path, gateway_quota_member_day="turns=1") as counted:
        gateways = (counted.rig.first, counted.rig.second)
        users = [Principal(f"user-{number}", Role.MEMBER) for number in range(40)]
        asked = [counted.ask(gateways[at % 2], f"t{at}", user) for at, user in enumerate(users)]
        found = await asyncio.gather(*asked)
        assert [one for one in found if not isinstance(one, Seen)] == []
        for seen in found:
            assert isinstance(seen, Seen)
            await seen.ended()
        assert (await counted.spent(len(users))).total.turns == len(users)


async def test_turns_that_wait_for_what_was_spent_ask_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_counted(tmp_path, gateway_quota_member_day="turns=1") as counted:
        bus = counted.rig.bus
        asked = 0
        request = bus.request

        async def counting(subject: str, *words: Any, **named: Any) -> Any:
            nonlocal asked
            asked += subject == subjects.ACCOUNTS_READ_TOTALS
            return await request(subject, *words, **named)

        monkeypatch.setattr(bus, "request", counting)
        users = [Principal(f"user-{number}", Role.MEMBER) for number in range(40)]
        found = await asyncio.gather(
            *(counted.ask(counted.rig.first, f"t{at}", user) for at, user in enumerate(users))
        )
        assert [one for one in found if not isinstance(one, Seen)] == []
        for seen in found:
            assert isinstance(seen, Seen)
            await seen.ended()
        assert asked < len(users) / 4


async def test_a_refusal_says_which_quota_and_when_the_next_one_begins(tmp_path: Path) -> None:
    async with open_counted(tmp_path, gateway_quota_member_month="turns=0") as counted:
        frame = StartTurnFrame(type="start_turn", text="Who?")
        with pytest.raises(ParleyError) as told:
            await counted.rig.first.door.start(ADA, frame, lambda _frame, _seq: None)
    error = told.value
    assert (error.code, error.retryable) == (ErrorCode.QUOTA_EXCEEDED, False)
    assert error.message == "Your quota of this month is used up: 0 turns."
    assert isinstance(error, QuotaExceededError)
    (standing,) = error.standings
    assert (standing.name, standing.rate.burst, standing.left) == ("turns_month", 0, 0)
    assert 28 <= standing.rate.window_s / 86_400 <= 31
    assert error.retry_after_s is not None
    assert 0 < error.retry_after_s <= 31 * 86_400


async def test_a_repeat_is_the_turn_there_is_also_when_the_quota_is_used_up(tmp_path: Path) -> None:
    async with open_counted(tmp_path, gateway_quota_member_day="turns=1") as counted:
        for gateway in (counted.rig.first, counted.rig.second, counted.rig.first):
            seen = await counted.ask(gateway, "t")
            assert isinstance(seen, Seen)
            await seen.ended()
        assert (await counted.spent(1)).total.turns == 1
        assert await counted.ask(counted.rig.first, "u") is ErrorCode.QUOTA_EXCEEDED


async def test_an_emptied_ledger_is_counted_anew_from_what_is_spent_and_what_runs(tmp_path: Path) -> None:
    async with open_counted(tmp_path, gateway_quota_member_day="turns=10") as counted:
        first = await counted.accepted(3)
        for seen in first:
            await seen.ended()
        await counted.spent(3)
        counted.rig.model.may_go_on.clear()
        running_now = await counted.accepted(3, of="running")
        assert len(running_now) == 3
        counted.shared.empty()
        accepted = await counted.accepted(12, of="after")
        assert len(accepted) == 4
        counted.rig.model.may_go_on.set()
        for seen in (*running_now, *accepted):
            await seen.ended()
        assert (await counted.spent(10)).total.turns == 10
        assert await counted.accepted(3, of="late") == []


@pytest.mark.parametrize(
    ("who", "is_told"),
    [(ADA, True), (Principal(f"{VISITOR_START}bot-1", Role.GUEST), False)],
    ids=["a user", "a visitor"],
)
async def test_how_much_a_used_up_quota_is_stands_in_the_headers_for_whose_it_is(
    tmp_path: Path, who: Principal, *, is_told: bool
) -> None:
    settings: dict[str, Any] = {f"gateway_quota_{role}_day": "turns=0" for role in ("member", "guest")}
    async with open_counted(tmp_path, **settings) as counted:
        asks(asking := Asking())
        assert await counted.ask(counted.rig.first, "t", who) is ErrorCode.QUOTA_EXCEEDED
    assert ("turns_day" in asking.standings) == is_told


async def test_while_the_ledger_is_away_each_gateway_gives_its_share_and_all_is_counted_afterwards(
    tmp_path: Path,
) -> None:
    async with open_counted(tmp_path, gateway_quota_member_day="turns=20") as counted:
        assert len(await counted.accepted(4)) == 4
        await counted.spent(4)
        counted.shared.ledger.is_away = True
        # Of the sixteen that are left each of two gateways gives half, of what it finds.
        away = await counted.accepted(40, of="away")
        assert 8 <= len(away) <= 16
        for seen in away[:5]:
            await seen.ended()
        counted.shared.ledger.is_away = False
        assert len(await counted.accepted(30, of="back")) == 16 - len(away)
        assert (await counted.spent(20)).total.turns == 20


def test_a_gateway_with_quotas_goes_on_telling_what_was_missed(memory_bus: MemoryBus) -> None:
    settings = GatewaySettings()
    limits = limits_of(memory_bus, Shared())
    parts = TurnParts(memory_bus, home="gateway-1", ids=OwnedIds(b"s"), settings=settings, limits=limits)
    assert limits.quotas is not None
    assert limits.quotas.run in parts.endless


async def test_who_has_no_read_left_is_told_what_is_wrong_with_a_new_turn(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"gateway_quota_member_day": "turns=1", "gateway_limit_reads": "1/3600"}
    async with open_counted(tmp_path, **settings) as counted:
        assert isinstance(await counted.ask(counted.rig.first, "t"), Seen)
        for _ in range(3):
            assert await counted.ask(counted.rig.first, "u") is ErrorCode.QUOTA_EXCEEDED


async def test_who_stops_a_turn_just_before_its_end_pays_for_what_was_written(tmp_path: Path) -> None:
    prices = '{"scripted": [1000000, 1000000], "*": [0, 0]}'
    settings: dict[str, Any] = {"gateway_quota_member_day": "tokens=9000", "gateway_prices": prices}
    async with open_counted(tmp_path, **settings) as counted:
        rig = counted.rig
        rig.model.pieces = ["x" * 8000, "the end"]
        rig.model.may_go_on.clear()
        seen = await counted.ask(rig.first, "t")
        assert isinstance(seen, Seen)
        await seen.until(lambda found: bool(found.text))
        rig.first.stopper.see_to(await rig.first.door.cancel(ADA, "t"))
        assert isinstance(await seen.ended(), TurnCancelled)
        [row] = (await counted.spent(1)).rows
        assert (row.model, row.completion_tokens) == ("scripted", 2000)
        assert row.cost_micros == row.prompt_tokens + row.completion_tokens > 2000


async def test_to_ask_again_for_a_turn_costs_what_a_read_does(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"gateway_quota_member_day": "turns=1", "gateway_limit_reads": "3/3600"}
    async with open_counted(tmp_path, **settings) as counted:
        for _ in range(4):
            assert isinstance(await counted.ask(counted.rig.first, "t"), Seen)
        assert await counted.ask(counted.rig.first, "t") is ErrorCode.RATE_LIMITED


async def test_who_has_his_turn_removed_runs_no_other_for_nothing_by_its_name(tmp_path: Path) -> None:
    visitor = Principal(f"{VISITOR_START}bot-1", Role.GUEST)
    async with open_counted(tmp_path, gateway_quota_guest_day="turns=2") as counted:
        first, erasure = counted.rig.first, counted.rig.first.parts.erasure
        for count in (1, 2):
            seen = await counted.ask(first, "t", visitor)
            assert isinstance(seen, Seen)
            await seen.ended()
            await counted.spent(count)
            async with asyncio.timeout(20):
                while not await erasure.erase_all(visitor.owner_id.__eq__):  # noqa: ASYNC110 - a queue tells nobody
                    await asyncio.sleep(0.01)
        assert await counted.ask(first, "t", visitor) is ErrorCode.QUOTA_EXCEEDED
        assert len(counted.rig.model.calls) == 2


def test_a_bot_that_names_one_limit_keeps_the_usual_others() -> None:
    spending = Spending(
        GatewaySettings(gateway_quota_bot_day="turns=5000,micros=7", gateway_quota_bot_month="turns=9")
    )
    command = StartTurn(
        turn=TurnRef(turn_id="t", client_turn_id="t", owner_id="visitor-b1-1", home="gateway-1"),
        conversation_id="c",
        continues_conversation=False,
        text="Who?",
        bot=TurnBot(id="b1", version=1, owner_id="bo"),
        accepted_at_ms=1,
        deadline_ms=2,
    )
    payer = BotPayer(BotLimits(tokens_a_day=100, micros_a_day=8))
    claim = spending.claim(command, Role.GUEST, payer)
    assert claim is not None
    day, month = (quota.most for quota in claim.quotas if quota.scope == "bot:b1")
    assert (day, month) == (Most(turns=5000, tokens=100, micros=8), Most(turns=9))


async def test_without_accounts_nobody_with_a_quota_is_let_in_unseen(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as rig:
        door = rig.first.door
        door.limits = limits_of(memory_bus, Shared(), gateway_quota_owner_day="")
        frame = StartTurnFrame(type="start_turn", text="Who?")
        with pytest.raises(ParleyError) as told:
            await door.start(ADA, frame, lambda _frame, _seq: None)
        assert told.value.code is ErrorCode.UNAVAILABLE
        # Who has none goes on.
        await door.start(Principal("root", Role.OWNER), frame, lambda _frame, _seq: None)


async def test_a_turn_that_the_stream_refuses_gives_back_what_it_reserved(tmp_path: Path) -> None:
    async with open_counted(tmp_path, runs_turns=False, gateway_quota_member_day="turns=1") as counted:
        frame = StartTurnFrame(type="start_turn", text="x" * 100_000)
        bus = counted.accounts.bus
        most, bus_type = bus.max_payload_bytes, type(bus)
        assert most > 0
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(bus_type, "max_payload_bytes", 3_000)
            with pytest.raises(ParleyError) as told:
                await counted.rig.first.door.start(ADA, frame, lambda _frame, _seq: None)
            assert told.value.code is ErrorCode.TOO_LARGE
        assert isinstance(await counted.ask(counted.rig.first, "t"), Seen)
        assert await counted.ask(counted.rig.first, "u") is ErrorCode.QUOTA_EXCEEDED


async def test_tokens_are_reserved_by_guess_and_settled_by_what_was_written(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "gateway_quota_member_day": "tokens=1500",
        "gateway_quota_answer_tokens": 1000,
    }
    async with open_counted(tmp_path, **settings) as counted:
        # Two guesses are more than there is; what one has really spent leaves room for the next.
        assert len(await counted.accepted(2)) == 1
        report = await counted.spent(1)
        assert 0 < report.total.tokens < 500
        # The gateway settles when accounts has said what it counted.
        async with asyncio.timeout(20):
            while await counted.ask(counted.rig.first, "next") is ErrorCode.QUOTA_EXCEEDED:  # noqa: ASYNC110 - a gateway tells nobody that it has settled
                await asyncio.sleep(0.01)


async def test_turns_have_their_price_by_their_model(tmp_path: Path) -> None:
    prices = '{"scripted": [0, 2000000], "*": [9, 9]}'
    async with open_counted(tmp_path, gateway_prices=prices) as counted:
        seen = await counted.ask(counted.rig.first, "t")
        assert isinstance(seen, Seen)
        await seen.ended()
        [row] = (await counted.spent(1)).rows
        assert row.cost_micros == 2 * row.completion_tokens > 0
    assert seen.text == ANSWER


def test_money_is_rounded_up_and_an_unknown_model_costs_what_any_other_does() -> None:
    prices = Prices.parse('{"a": [150000, 600000], "*": [1, 0]}')
    usage = TokenUsage(prompt_tokens=10, completion_tokens=10)
    assert prices.cost_micros("a", usage) == 8
    assert prices.cost_micros("b", usage) == prices.cost_micros(None, usage) == 1
    assert Prices.parse("{}").cost_micros("a", usage) == 0


@pytest.fixture
async def memory_bus() -> AsyncGenerator[MemoryBus]:
    bus = MemoryBus()
    yield bus
    await bus.close()
