"""Limits at the edge: who is refused what, in which words, and what each answer tells of what is left."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from parley_contracts import subjects
from parley_contracts.bots import BotLimits
from parley_contracts.client_frames import StartTurnFrame
from parley_contracts.credentials import CheckKey, KnownPrincipal
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import ListModels, ModelList
from parley_contracts.policy import Role
from parley_contracts.route_policy import ENTRANCES
from parley_contracts.turns import StartTurn, TurnBot, TurnRef
from parley_gateway.known_principals import KnownPrincipals
from parley_gateway.limits import Asking, Limits, asks, described
from parley_gateway.principal import Principal
from parley_gateway.revoked import Revoked
from parley_gateway.settings import GatewaySettings
from parley_gateway.spending import BotPayer
from parley_limits import MemoryBuckets, Rate, Standing
from parley_messaging.memory_bus import MemoryBus

from tests.unit.gateway.http_edge import KEY, SESSION_ID, make_edge
from tests.unit.gateway.known_keys import OWNER, KnownKeys, answer_logins
from tests.unit.gateway.rig import running
from tests.unit.gateway.site_edge import open_site_edge

ADA = Principal("ada", Role.MEMBER, key_id="ada-1")
ADA_TOO = Principal("ada", Role.MEMBER, key_id="ada-2")
GRACE = Principal("grace", Role.MEMBER, key_id="grace-1")
PROVER = KnownKeys({"pk_ada": ADA, "pk_ada_too": ADA_TOO, "pk_grace": GRACE, KEY: OWNER})
FAR = "203.0.113.9"
# Tokens come back so slowly that none does in a test.
HOUR = 3600


@pytest.fixture
async def memory_bus() -> AsyncGenerator[MemoryBus]:
    bus = MemoryBus()
    yield bus
    await bus.close()


FOUR = BotPayer(BotLimits(turns_a_minute=4))


def asked(bot_id: str | None = None) -> StartTurn:
    """Return the command of a turn, of a bot where that is given."""
    return StartTurn(
        turn=TurnRef(turn_id="t", client_turn_id="t", owner_id="ada", home="gateway-1"),
        conversation_id="c",
        continues_conversation=False,
        text="Who?",
        bot=None if bot_id is None else TurnBot(id=bot_id, version=1, owner_id="bo"),
        accepted_at_ms=1,
        deadline_ms=2,
    )


def by(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


class Edge:
    """The edge, asked from any address."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    async def ask(
        self, method: str, path: str, *, address: str = "127.0.0.1", **request: Any
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self._app, client=(address, 1))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://gateway", trust_env=False
        ) as client:
            return await client.request(method, path, **request)

    async def statuses(self, count: int, path: str, **request: Any) -> list[int]:
        answers = [await self.ask("GET", path, **request) for _ in range(count)]
        return [answer.status_code for answer in answers]


async def _models(_: ListModels) -> ModelList:
    return ModelList(models=())


@asynccontextmanager
async def open_limited(folder: Path, **rates: Any) -> AsyncGenerator[Edge]:
    bus = MemoryBus()
    bus.answer(subjects.LLM_MODELS, ListModels, _models)
    answer_logins(bus, KEY, SESSION_ID)
    settings = {f"gateway_{name}": value for name, value in rates.items()}
    _, app = make_edge(bus, GatewaySettings.model_validate({"data_dir": folder, **settings}), PROVER)
    await bus.start()
    try:
        yield Edge(app)
    finally:
        await bus.close()


async def test_a_user_is_refused_beyond_his_limit_and_told_when_to_come_back(tmp_path: Path) -> None:
    async with open_limited(tmp_path, limit_reads=f"3/{HOUR}") as edge:
        assert await edge.statuses(3, "/api/users/me", headers=by("pk_ada")) == [200] * 3
        refused = await edge.ask("GET", "/api/users/me", headers=by("pk_ada"))
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1200"
    error = refused.json()["error"]
    assert (error["code"], error["retryable"], error["retry_after_s"]) == ("rate_limited", True, 1200)
    assert "reads" in error["message"]


async def test_keys_of_one_user_share_what_he_may_and_have_limits_of_their_own(tmp_path: Path) -> None:
    limits = {"limit_reads": f"5/{HOUR}", "limit_key": f"3/{HOUR}"}
    async with open_limited(tmp_path, **limits) as edge:
        assert await edge.statuses(4, "/api/users/me", headers=by("pk_ada")) == [200, 200, 200, 429]
        assert await edge.statuses(3, "/api/users/me", headers=by("pk_ada_too")) == [200, 200, 429]
        assert await edge.statuses(3, "/api/users/me", headers=by("pk_grace")) == [200, 200, 200]


async def test_kinds_of_requests_have_buckets_of_their_own(tmp_path: Path) -> None:
    limits = {"limit_reads": f"1/{HOUR}", "limit_writes": f"1/{HOUR}", "limit_work": f"1/{HOUR}"}
    async with open_limited(tmp_path, **limits) as edge:
        for method, path in (("GET", "/api/users/me"), ("POST", "/api/keys"), ("POST", "/api/search")):
            request: dict[str, Any] = {"headers": by("pk_ada")} | ({"json": {}} if method == "POST" else {})
            answers = [await edge.ask(method, path, **request) for _ in range(2)]
            assert [answer.status_code == 429 for answer in answers] == [False, True], path


async def test_an_owner_may_ask_a_thousand_times_as_much(tmp_path: Path) -> None:
    async with open_limited(tmp_path, limit_reads=f"1/{HOUR}") as edge:
        assert await edge.statuses(20, "/api/users/me", headers=by(KEY)) == [200] * 20


async def test_an_answer_tells_each_limit_and_what_is_left_of_it(tmp_path: Path) -> None:
    async with open_limited(tmp_path, limit_reads="120/60", limit_key="60/60") as edge:
        answer = await edge.ask("GET", "/api/users/me", headers=by("pk_ada"), address=FAR)
    policies = '"host";q=3000;w=60, "reads";q=120;w=60, "key";q=60;w=60'
    assert answer.headers["ratelimit-policy"] == policies
    assert answer.headers["ratelimit"] == '"host";r=2999;t=1, "reads";r=119;t=1, "key";r=59;t=1'


def test_names_of_limits_are_strings_of_structured_fields() -> None:
    headers = described([Standing("reads", Rate(9, 60), 0, 60)])
    item = re.compile(r'"[ -!#-\[\]-~]*"(;[a-z*][a-z0-9_.*-]*=[0-9]{1,15})*')
    assert [bool(item.fullmatch(value)) for value in headers.values()] == [True, True]
    assert described([]) == {}


@pytest.mark.parametrize("path", ["/livez", "/v1/health", "/", "/login"])
async def test_probes_and_pages_cost_nothing(tmp_path: Path, path: str) -> None:
    limits = {"limit_reads": f"1/{HOUR}", "limit_host": f"1/{HOUR}", "limit_key": f"1/{HOUR}"}
    async with open_limited(tmp_path, **limits) as edge:
        answers = [await edge.ask("GET", path, headers=by("pk_ada"), address=FAR) for _ in range(4)]
    assert 429 not in {answer.status_code for answer in answers}


@pytest.mark.parametrize("route", sorted(ENTRANCES), ids=lambda route: route[1].rpartition("/")[2])
async def test_entrances_are_limited_by_address_before_their_body_is_read(
    tmp_path: Path, route: tuple[str, str]
) -> None:
    read: list[int] = []

    async def body() -> AsyncGenerator[bytes]:
        read.append(1)
        yield b"{}"

    async with open_limited(tmp_path, limit_host_entrances=f"2/{HOUR}") as edge:
        for address in (FAR, "2001:db8:1:2::1"):
            answers = [await edge.ask(*route, json={}, address=address) for _ in range(2)]
            assert 429 not in {answer.status_code for answer in answers}
        neighbour = "2001:db8:1:2:ffff::9"
        headers = {"Content-Type": "application/json"}
        for address in (FAR, neighbour, f"::ffff:{FAR}"):
            refused = await edge.ask(*route, content=body(), headers=headers, address=address)
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
        assert read == []
        assert (await edge.ask(*route, json={}, address="2001:db8:1:3::1")).status_code != 429
        # Machines that a setting names are not limited by address.
        assert 429 not in {(await edge.ask(*route, json={})).status_code for _ in range(5)}


async def test_a_wrong_login_costs_more_than_a_right_one(tmp_path: Path) -> None:
    limits = {"limit_host_entrances": f"30/{HOUR}", "limit_wrong_cost": 9}
    async with open_limited(tmp_path, **limits) as edge:
        for key, count in (("pk_wrong", 3), (KEY, 30)):
            address = f"198.51.100.{count}"
            request: dict[str, Any] = {"json": {"key": key}, "address": address}
            answers = [await edge.ask("POST", "/api/auth/session", **request) for _ in range(count + 1)]
            statuses = [answer.status_code for answer in answers]
            assert statuses[-1] == 429, (key, statuses)
            assert 429 not in statuses[:-1], (key, statuses)


async def test_an_address_that_a_proxy_of_ours_tells_is_the_one_that_is_limited(tmp_path: Path) -> None:
    limits = {"limit_host_entrances": f"1/{HOUR}", "trusted_proxies": "192.0.2.1"}
    async with open_limited(tmp_path, **limits) as edge:

        async def log_in(told: str, *, proxy: str) -> int:
            headers = {"X-Forwarded-For": told}
            answer = await edge.ask("POST", "/api/auth/login", json={}, headers=headers, address=proxy)
            return answer.status_code

        assert [await log_in(FAR, proxy="192.0.2.1") for _ in range(2)] == [400, 429]
        assert await log_in("203.0.113.10", proxy="192.0.2.1") == 400
        # Nobody else is believed: all that he says he is are one.
        assert [await log_in(f"198.51.100.{n}", proxy="192.0.2.2") for n in range(2)] == [400, 429]


async def test_keys_that_have_to_be_looked_up_are_limited_by_address_before_accounts_is_asked() -> None:
    bus, asked = MemoryBus(), list[str]()

    async def check(request: CheckKey) -> KnownPrincipal:
        asked.append(request.key)
        if request.key != "pk_right":
            raise ParleyError(ErrorCode.UNAUTHENTICATED, "The API key is not valid.")
        return KnownPrincipal(user_id="ada", role=Role.MEMBER, scopes=None)

    bus.answer(subjects.ACCOUNTS_CHECK_KEY, CheckKey, check)
    await bus.start()
    settings = GatewaySettings(gateway_limit_host_credentials=f"4/{HOUR}")
    limits = Limits(settings, MemoryBuckets())
    known = KnownPrincipals(bus, Revoked(), limits.look_up)
    asks(Asking(limits.host(FAR)))
    codes: list[ErrorCode | None] = []
    for key in ("pk_right", "pk_1", "pk_2", "pk_3", "pk_4", "pk_5"):
        try:
            await known.of_key(key)
            codes.append(None)
        except ParleyError as error:
            codes.append(error.code)
    refused, limited = ErrorCode.UNAUTHENTICATED, ErrorCode.RATE_LIMITED
    assert codes == [None, refused, refused, refused, limited, limited]
    assert asked == ["pk_right", "pk_1", "pk_2", "pk_3"]
    # Who is known is not looked up, and goes on from the same address.
    assert (await known.of_key("pk_right")).owner_id == "ada"
    await bus.close()


async def test_a_wrong_key_is_paid_for_by_the_address_that_shows_it(tmp_path: Path) -> None:
    async with open_limited(tmp_path, limit_host_credentials=f"20/{HOUR}") as edge:
        for _ in range(2):
            answer = await edge.ask("GET", "/api/users/me", headers=by("pk_wrong"), address=FAR)
            assert answer.status_code == 401
        # Without credentials nothing was tried.
        assert await edge.statuses(30, "/api/users/me", address=FAR) == [401] * 30
        limits = edge_limits(edge)
        asks(Asking(limits.host(FAR)))
        with pytest.raises(ParleyError) as told:
            await limits.look_up()
    assert told.value.code is ErrorCode.RATE_LIMITED


def edge_limits(edge: Edge) -> Limits:
    return edge._app.state.edge.limits  # pyright: ignore[reportPrivateUsage] - the application's own limits are wanted


async def test_turns_of_a_user_are_limited_on_every_protocol_together(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as rig:
        door = rig.first.door
        door.limits = Limits(GatewaySettings(gateway_limit_turns=f"2/{HOUR}"), MemoryBuckets())
        outcomes: list[ErrorCode | None] = []
        for number in range(4):
            frame = StartTurnFrame(type="start_turn", text="Who?", turn_id=f"t{number}")
            try:
                if number % 2:
                    await door.submit(ADA, frame, "ext-shop")
                else:
                    await door.start(ADA, frame, lambda _frame, _seq: None)
                outcomes.append(None)
            except ParleyError as error:
                outcomes.append(error.code)
        assert outcomes == [None, None, ErrorCode.RATE_LIMITED, ErrorCode.RATE_LIMITED]
        # A repeat of an accepted turn is no new one.
        repeat = StartTurnFrame(type="start_turn", text="Who?", turn_id="t0")
        assert (await door.start(ADA, repeat, lambda _frame, _seq: None)).is_repeat


async def test_to_ask_again_for_a_turn_whose_bucket_is_empty_costs_what_a_read_does(
    memory_bus: MemoryBus,
) -> None:
    async with running(memory_bus) as rig:
        door = rig.first.door
        settings = GatewaySettings(gateway_limit_turns=f"1/{HOUR}", gateway_limit_reads=f"2/{HOUR}")
        door.limits = Limits(settings, MemoryBuckets())
        frame = StartTurnFrame(type="start_turn", text="Who?", turn_id="t")
        repeats = [
            (await door.start(ADA, frame, lambda _frame, _seq: None)).is_repeat,
            (await door.submit(ADA, frame, "ext-shop")).turn.home != "ext-shop",
            (await door.start(ADA, frame, lambda _frame, _seq: None)).is_repeat,
        ]
        assert repeats == [False, True, True]
        with pytest.raises(ParleyError) as told:
            await door.start(ADA, frame, lambda _frame, _seq: None)
        assert told.value.code is ErrorCode.RATE_LIMITED
        assert "turns" in told.value.message


async def test_a_bot_answers_so_many_turns_a_minute_however_many_visitors_there_are(
    tmp_path: Path, accounts_file: Path
) -> None:
    async with open_site_edge(tmp_path, accounts_file, gateway_limit_bot_turns=f"2/{HOUR}") as sites:
        bot, own = await sites.bot(), await sites.bot(limits={"turns_a_minute": 1})
        answers = [await sites.ask(bot) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[0].headers["ratelimit-policy"] == f'"bot_turns";q=2;w={HOUR}'
        assert "RateLimit" in answers[0].headers["access-control-expose-headers"]
        assert answers[2].json()["error"]["code"] == "rate_limited"
        assert [(await sites.ask(own)).status_code for _ in range(2)] == [200, 429]
        assert len(sites.model.calls) == 3


async def test_visitors_of_one_address_are_limited_before_the_bot_is_looked_for(tmp_path: Path) -> None:
    async with open_limited(tmp_path, limit_host_visitors=f"2/{HOUR}") as edge:
        answers = [await edge.ask("POST", "/api/chat/b1", json={"text": "x"}, address=FAR) for _ in range(3)]
    assert [answer.status_code == 429 for answer in answers] == [False, False, True]


async def test_askings_of_one_socket_do_not_pile_up() -> None:
    limits = Limits(GatewaySettings(), MemoryBuckets())
    asking = Asking()
    asks(asking)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(30):
            tasks.create_task(limits.start_turn(ADA, asked()))
    assert set(asking.standings) == {"turns", "key"}


async def test_a_user_who_asks_a_bot_pays_for_himself_and_for_the_bot() -> None:
    limits = Limits(GatewaySettings(gateway_limit_turns=f"3/{HOUR}"), MemoryBuckets())
    visitor = Principal("visitor-b1-1")
    await limits.start_turn(ADA, asked("b1"), FOUR)
    await limits.start_turn(ADA, asked("b2"))
    await limits.start_turn(ADA, asked())
    for bot_id in ("b1", "b3", None):
        with pytest.raises(ParleyError) as told:
            await limits.start_turn(ADA, asked(bot_id), FOUR)
        assert told.value.code is ErrorCode.RATE_LIMITED
    for _ in range(3):
        await limits.start_turn(visitor, asked("b1"), FOUR)
    with pytest.raises(ParleyError):
        await limits.start_turn(visitor, asked("b1"), FOUR)
    assert limits.refused == {"turns": 3, "bot_turns": 1}
