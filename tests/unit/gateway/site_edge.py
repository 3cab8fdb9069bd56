"""A gateway that answers visitors: real accounts, memory and rag, a runner, and a scripted model."""

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from parley_contracts import subjects
from parley_contracts.bots import Bot, BotSettings, ChangeBot, CreateBot
from parley_contracts.llm import GenerateJob, ModelInfo
from parley_contracts.policy import Role
from parley_contracts.turns import PenRole
from parley_gateway.app import create_app
from parley_gateway.edge import Edge
from parley_gateway.identity import Doorkeeper, Secrets
from parley_gateway.login_codes import LoginCodes
from parley_gateway.settings import GatewaySettings
from parley_gateway.sites import Sites
from parley_gateway.sockets import Sockets
from parley_gateway.turn_parts import TurnParts
from parley_llm.catalogue import Catalogue
from parley_llm.generation import Generation
from parley_llm.worker import GenerationWorker
from parley_messaging import Service
from parley_messaging.bus import Bus
from parley_messaging.holds import Holds
from parley_messaging.pen import Pen
from parley_messaging.queues import TURNS, llm_jobs
from parley_messaging.stops import Stops
from parley_messaging.turn_writer import TurnWriters
from parley_messaging.work_loop import WorkLoop

from tests.fakes.data_keys import exports_on, originals_on
from tests.patience import GATHERS_ALL
from tests.unit.accounts.accounts_rig import as_user
from tests.unit.gateway.http_edge import IDS
from tests.unit.gateway.rig import ScriptedModel
from tests.unit.gateway.whole_edge import MODEL, Asked, Visitor, WholeEdge, open_whole_edge

PAGE = "https://shop.example"
SECRET = b"\x01" * 32
POOL = "p"


class SiteModel(ScriptedModel):
    """The scripted model, under the name by which the edge's services tell of one."""

    pool = POOL

    def serves(self, model_id: str) -> bool:
        return model_id == MODEL

    async def models(self) -> tuple[ModelInfo, ...]:
        return (ModelInfo(id=MODEL, pool=POOL, context_tokens=4096, owned_by="us"),)


@dataclass(frozen=True)
class SiteEdge:
    """Visitors' client, the model they reach, and whom the services were asked for."""

    client: httpx.AsyncClient
    whole: WholeEdge
    edge: Edge
    model: SiteModel
    owner: Visitor
    bots: list[Bot] = field(default_factory=list[Bot])

    @property
    def asked(self) -> list[Asked]:
        return self.whole.bus.asked

    def asked_on(self, subject: str) -> set[str]:
        """Return for whom a subject was asked."""
        return {one.owner_id for one in self.asked if one.subject == subject}

    async def bot(self, owner: Visitor | None = None, **fields: Any) -> Bot:
        """Make a bot that is asked from `PAGE`."""
        settings = {"name": "Guide", "prompt": "You guide.", "allowed_origins": [PAGE], **fields}
        request = CreateBot(
            **as_user((owner or self.owner).user), settings=BotSettings.model_validate(settings)
        )
        return await self.whole.entered.accounts.ask(subjects.ACCOUNTS_CREATE_BOT, request, Bot)

    async def change(self, bot: Bot, **fields: Any) -> Bot:
        request = ChangeBot(
            **as_user(self.owner.user),
            bot_id=bot.id,
            if_version=bot.version,
            settings=BotSettings.model_validate({**bot.settings.model_dump(mode="json"), **fields}),
        )
        return await self.whole.entered.accounts.ask(subjects.ACCOUNTS_CHANGE_BOT, request, Bot)

    async def ask(
        self,
        bot: Bot,
        text: str = "Who has the pen?",
        *,
        token: str | None = None,
        origin: str | None = PAGE,
        **headers: str,
    ) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named |= {"Origin": origin} if origin is not None else {}
        named |= {"Parley-Visitor": token} if token is not None else {}
        return await self.client.post(f"/api/chat/{bot.id}", json={"text": text}, headers=named)

    async def told(self, bot: Bot, **fields: Any) -> list[dict[str, Any]]:
        """Return the events of a streamed answer."""
        body = {"text": "Who has the pen?", "stream": True}
        headers = {"Origin": PAGE, **fields}
        response = await self.client.post(f"/api/chat/{bot.id}", json=body, headers=headers)
        assert response.headers["content-type"].startswith("text/event-stream"), response.text
        lines = [line for line in response.text.splitlines() if line.startswith("data: ")]
        return [json.loads(line.removeprefix("data: ")) for line in lines]

    async def forget(
        self, bot: Bot, session: str, token: str | None, origin: str | None = PAGE
    ) -> httpx.Response:
        headers = {} if origin is None else {"Origin": origin}
        headers |= {} if token is None else {"Parley-Visitor": token}
        return await self.client.delete(f"/api/chat/{bot.id}/session/{session}", headers=headers)


def _worker(bus: Bus, model: SiteModel) -> tuple[list[Any], list[Coroutine[Any, Any, None]]]:
    writers, stops, holds = TurnWriters(bus), Stops(bus), Holds(bus, "llm-1", PenRole.WORKER)
    catalogue = Catalogue([model])

    def new_generation(job: GenerateJob) -> Generation:
        return Generation(bus, job, catalogue, stops, window_ms=0)

    worker = GenerationWorker(
        bus,
        holder="llm-1",
        holds=holds,
        pen=Pen(bus),
        writers=writers,
        stops=stops,
        new_generation=new_generation,
    )
    loop = WorkLoop(bus, llm_jobs(POOL), worker.work, slots=8, pullers=1)
    return [writers, stops, holds], [writers.run(), stops.run(), loop.run()]


@asynccontextmanager
async def open_site_edge(folder: Path, accounts_tables: Path, **changed: Any) -> AsyncGenerator[SiteEdge]:
    """Run everything until the body ends; `accounts_tables` is a file with empty tables of accounts."""
    of_site = {"data_dir": folder, "gateway_turn_s": 20, **GATHERS_ALL, **changed}
    settings = GatewaySettings.model_validate(of_site)
    model = SiteModel()
    async with open_whole_edge(folder, accounts_tables) as whole, asyncio.TaskGroup() as tasks:
        bus = whole.bus
        turns = TurnParts(bus, home="gateway-2", ids=IDS, settings=settings)
        await turns.start()
        parts, running = _worker(bus, model)
        for part in parts:
            await part.start()
        runner = WorkLoop(bus, TURNS, turns.runner.work, slots=8, pullers=1)
        coroutines = [*(endless() for endless in turns.endless), *running, runner.run()]
        endless = [tasks.create_task(one) for one in coroutines]
        sites = Sites.signed_by(SECRET, bus, lasts_s=3600, turns=turns)
        await sites.bots.start()
        identities = whole.entered.identities
        identities.revoked.on_revoked(sites.bots.forget_owner)
        doorkeeper = Doorkeeper(identities, Secrets("k", SECRET), session_s=60)
        service = Service("gateway", settings, bus)
        edge = Edge(
            service,
            settings,
            doorkeeper,
            turns.models,
            turns.door,
            turns.stopper,
            Sockets(),
            LoginCodes(settings.secrets_path),
            sites,
            originals_on(bus),
            exports_on(bus),
        )
        transport = httpx.ASGITransport(create_app(edge))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://gateway", trust_env=False
        ) as client:
            yield SiteEdge(client, whole, edge, model, await whole.visitor(Role.MEMBER, "ada"))
        for task in endless:
            task.cancel()
