"""What messages for a fuzzed stack can name: people with rights of each kind, and things that are theirs."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from parley_contracts import subjects
from parley_contracts.accounts import LOCAL_OWNER, CreateUser, User
from parley_contracts.bots import Bot, BotSettings, CreateBot
from parley_contracts.claims import Acting
from parley_contracts.policy import Role
from parley_contracts.rag import Collection, CreateCollection
from parley_identity.bus_claims import Signer
from parley_messaging.acting import acting_for
from parley_messaging.nats_bus import NatsBus

from tests.claims import GATEWAY_KEY
from tests.integration.bus_users import operating
from tests.integration.library import Library
from tests.integration.stack import Stack, secrets_of

ASK_S = 20.0
MOST_LEARNT = 40
COLLECTIONS = ("default", "fuzzed")
TURNS = tuple(f"fuzz{number}" for number in range(6))
"""Few, so that messages of all channels meet over the same turns."""


class KnownThings:
    """Principals, ids by the names of fields, and what replies have told since."""

    def __init__(
        self, signer: Signer, principals: Sequence[Acting], ids: Mapping[str, Sequence[str]]
    ) -> None:
        self.signer = signer
        self.principals = tuple(principals)
        self.ids: defaultdict[str, list[str]] = defaultdict(list)
        self._learnt: list[tuple[str, str]] = []
        for name, known in ids.items():
            self.ids[name] += known

    def take(self) -> None:
        """Have messages name what was learnt; not while those of a channel are made."""
        for name, found in self._learnt:
            if len(self.ids[name]) < MOST_LEARNT:
                self.ids[name].append(found)
        self._learnt.clear()

    def learn(self, reply: bytes) -> None:
        """Note the id of what a reply is about."""
        said: Any = json.loads(reply)
        inside: list[Any] = [one for one in said.values() if isinstance(one, dict)]
        for place in (said, *inside):
            kind: Any = place.get("type")
            found: Any = place.get("id")
            if isinstance(kind, str) and isinstance(found, str):
                self._learnt.append((f"{kind}_id", found))


async def know(stack: Stack, library: Library, conversation_id: str) -> KnownThings:
    """Make users of three roles, two with a bot and a collection; the local owner's things are not theirs."""
    ids: dict[str, list[str]] = {
        "user_id": [LOCAL_OWNER],
        "revoked_id": ["nobody"],
        "document_id": list(library.ids.values()),
        "conversation_id": [conversation_id, "fuzzed", "new"],
        "turn_id": [*TURNS],
        "client_turn_id": [*TURNS],
        "before_turn_id": [*TURNS],
        "collection": [*COLLECTIONS, library.collection],
        "home": ["fuzz"],
        "pool": ["extractive", "ollama", "nobodys"],
        "model": ["extractive", "ollama/quick", "nobodys/model"],
        "service": ["gateway", "memory", "rag", "accounts", "npu", "llm", "browser"],
        "url": ["http://127.0.0.1/", "file:///etc/passwd", "http://[::1]/"],
        "bot_id": [],
    }
    principals = [Acting("nobody-known", Role.MEMBER)]
    async with operating(stack) as bus:
        for role in (Role.MEMBER, Role.ADMIN, Role.GUEST):
            user = await _made_user(bus, role)
            acting = Acting(user.id, role)
            principals.append(acting)
            ids["user_id"].append(user.id)
            if role is not Role.GUEST:
                ids["bot_id"].append(await _made_things(bus, acting))
    # Those who may do something more often than the others.
    often = (*principals, *principals[1:3] * 2)
    return KnownThings(Signer(secrets_of(stack.folder) / GATEWAY_KEY), often, ids)


async def _made_user(bus: NatsBus, role: Role) -> User:
    wanted = CreateUser(owner_id=LOCAL_OWNER, role=Role.OWNER, name=f"fuzz-{role.value}", new_role=role)
    return await bus.request(subjects.ACCOUNTS_CREATE_USER, wanted, User, timeout_s=ASK_S)


async def _made_things(bus: NatsBus, acting: Acting) -> str:
    owner = acting.owner_id
    with acting_for(acting):
        settings = BotSettings(name="Fuzzed")
        bot = await bus.request(
            subjects.ACCOUNTS_CREATE_BOT,
            CreateBot(owner_id=owner, role=acting.role, settings=settings),
            Bot,
            timeout_s=ASK_S,
        )
        collection = CreateCollection(owner_id=owner, name="fuzzed")
        await bus.request(subjects.RAG_CREATE_COLLECTION, collection, Collection, timeout_s=ASK_S)
    return bot.id
