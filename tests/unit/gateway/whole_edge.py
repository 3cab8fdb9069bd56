"""One gateway before the real accounts, memory and rag services, all in this process and over SQLite."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from fastapi import FastAPI
from parley_contracts import subjects
from parley_contracts.accounts import CreateInvitation, LinkCreated, SessionTokens, User
from parley_contracts.attachments import (
    AttachmentCreated,
    CreateAttachment,
    FinishAttachment,
)
from parley_contracts.bots import Bot, BotSettings, CreateBot
from parley_contracts.browser import PageText, ReadPage
from parley_contracts.citations import Citation, DocumentRef
from parley_contracts.credentials import CreateKey, KeyCreated
from parley_contracts.data_rights import CreateExport, DataJob, EraseUser
from parley_contracts.feedback import CitationFeedback, RateCitation, Verdict
from parley_contracts.groups import AddGroupMember, CreateGroup, Group, GroupMember
from parley_contracts.llm import ListModels, ModelInfo, ModelList
from parley_contracts.local_models import (
    CancelPull,
    DeleteModel,
    ListPulls,
    ModelPull,
    PullList,
    PullModel,
    PullStatus,
)
from parley_contracts.memory import Stored, StoreTurn, StoreUserMessage
from parley_contracts.model import OwnedRequest, WireModel
from parley_contracts.npu import Embed
from parley_contracts.policy import Permission, Role
from parley_contracts.provider_keys import ProviderKey, SetProviderKey
from parley_contracts.rag import (
    Collection,
    CreateCollection,
    CreateDocument,
    DocumentCreated,
    IngestDocument,
    original_key,
)
from parley_contracts.replies import Done
from parley_contracts.shared_bots import BotShare, ShareBot
from parley_contracts.subject_permissions import NEEDS
from parley_contracts.subject_policy import SUBJECTS
from parley_contracts.turns import Seal, TurnOutcome, TurnRef
from parley_contracts.webhooks import CreateWebhook, WebhookCreated
from parley_gateway.edge import Edge
from parley_llm.erasure import AnswerErasure
from parley_memory.attachment_shelf import AttachmentBounds
from parley_memory.handlers import bind as bind_memory
from parley_memory.handlers import bind_attachments
from parley_memory.settings import MemorySettings
from parley_memory.tables import STORE as MEMORY
from parley_messaging import Service
from parley_messaging.bus import Reply
from parley_messaging.memory_bus import MemoryBus
from parley_rag.assembly import Parts, assemble
from parley_rag.backends.memory import MemoryIndex
from parley_rag.data_rights import bind_data_rights
from parley_rag.database import open_database
from parley_rag.handlers import bind as bind_rag
from parley_rag.measures import Measures
from parley_rag.quality import bind_quality
from parley_rag.settings import RagSettings

from tests.fakes.embedding import FakeNpu
from tests.patience import PatientBus
from tests.unit.accounts.accounts_rig import OWNER, PASSWORD, as_user
from tests.unit.gateway.accounts_edge import Entered, open_identities
from tests.unit.gateway.http_edge import IDS, open_edge
from tests.unit.memory.stored_turns import open_memory

THINGS: tuple[str, ...] = (
    "conversation_id",
    "document_id",
    "name",
    "turn_id",
    "user_id",
    "session_id",
    "key_id",
    "invitation_id",
    "bot_id",
    "version",
    "provider",
    "webhook_id",
    "group_id",
    "shared_bot_id",
    "export_id",
    "attachment_id",
)
"""Names that routes have for the ids of what somebody has."""

LOCAL_MODEL = "ollama/llama3.2:1b"
MODEL = "m1"
NOBODYS_URL = "http://127.0.0.1:9/"
"""Where nobody listens."""
TEXT = b"A heron stands at the weir."


@dataclass(frozen=True)
class Asked:
    """A request on the bus that some permission is needed for."""

    subject: str
    permission: Permission
    owner_id: str


class RecordingBus(PatientBus):
    """Keeps what was asked for somebody."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Asked] = []

    async def request(
        self, subject: str, request: WireModel, reply_type: type[Reply], *, timeout_s: float = 2.0
    ) -> Reply:
        need = SUBJECTS.get(subject)
        # What only services ask, of their own accord, is asked for nobody.
        if isinstance(need, Permission) and isinstance(request, OwnedRequest) and NEEDS.get(subject):
            self.asked.append(Asked(subject, need, request.owner_id))
        return await super().request(subject, request, reply_type, timeout_s=timeout_s)


@dataclass(frozen=True)
class Visitor:
    """Somebody of a role who has logged in."""

    user: User
    tokens: SessionTokens

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens.access_token}"}


@dataclass(frozen=True)
class WholeEdge:
    """The gateway, what is behind it, and the means to make what people have."""

    client: httpx.AsyncClient
    app: FastAPI
    bus: RecordingBus
    entered: Entered
    rag: Parts
    people: dict[str, User] = field(default_factory=dict[str, User])

    @property
    def edge(self) -> Edge:
        return self.app.state.edge

    async def visitor(self, role: Role, name: str | None = None) -> Visitor:
        """Return a user of a role with a session of its own."""
        name = name or f"a-{role}"
        accounts = self.entered.accounts
        if name not in self.people:
            self.people[name] = await accounts.user(name, role)
        return Visitor(self.people[name], await accounts.log_in(name, PASSWORD))

    async def key(self, *scopes: Permission) -> dict[str, str]:
        """Return the headers of an owner's key with these scopes."""
        request = CreateKey(**OWNER, name="k", key_scopes=scopes)
        made = await self.entered.accounts.ask(subjects.ACCOUNTS_CREATE_KEY, request, KeyCreated)
        return {"Authorization": f"Bearer {made.key}"}

    async def things_of(self, visitor: Visitor, names: Iterable[str] = THINGS) -> dict[str, str]:
        """Make what has ids of these names in routes, for a visitor; return its ids."""
        user, wanted = visitor.user, set(names)
        ids = {"n": "1", "user_id": user.id, "session_id": visitor.tokens.session_id}
        if wanted & {"conversation_id", "turn_id"}:
            ids |= await self._conversation(user)
        if wanted & {"document_id", "name"}:
            ids |= await self._document(user)
        if "key_id" in wanted:
            ids["key_id"] = await self._key_of(user)
        if "invitation_id" in wanted:
            ids["invitation_id"] = await self._invitation()
        if wanted & {"bot_id", "version", "provider"}:
            ids |= {"version": "1", "provider": "openai", "bot_id": await self._bot(user)}
        if "webhook_id" in wanted:
            ids["webhook_id"] = await self._webhook(user)
        if "group_id" in wanted:
            ids["group_id"] = await self.group(user)
        if "shared_bot_id" in wanted:
            ids["shared_bot_id"] = await self.shared_bot(user)
        if "attachment_id" in wanted:
            ids["attachment_id"] = await self._attachment(user)
        if "export_id" in wanted:
            ids["export_id"] = await self._export(user)
        return ids

    async def _webhook(self, user: User) -> str:
        if user.role is Role.GUEST:
            return "guests-have-none"
        request = CreateWebhook(**as_user(user), url=NOBODYS_URL)
        return (await self._ask(subjects.ACCOUNTS_CREATE_WEBHOOK, request, WebhookCreated)).webhook.id

    async def shared_bot(self, *members: User, **settings: Any) -> str:
        """Make a bot of the owner's that is shared with users; return its id."""
        created = CreateBot(**OWNER, settings=BotSettings(name="Shared", **settings))
        bot = await self._ask(subjects.ACCOUNTS_CREATE_BOT, created, Bot)
        share = ShareBot(**OWNER, bot_id=bot.id, group_id=await self.group(*members))
        await self._ask(subjects.ACCOUNTS_SHARE_BOT, share, BotShare)
        return bot.id

    async def group(self, *members: User, permissions: tuple[Permission, ...] = ()) -> str:
        """Make a group of users; return its id."""
        made = CreateGroup(**OWNER, name=uuid4().hex, permissions=permissions)
        group = await self._ask(subjects.ACCOUNTS_CREATE_GROUP, made, Group)
        for user in members:
            add = AddGroupMember(**OWNER, group_id=group.id, user_id=user.id)
            await self._ask(subjects.ACCOUNTS_ADD_GROUP_MEMBER, add, GroupMember)
        return group.id

    async def _export(self, user: User) -> str:
        """Return an export that is made, of all that the user has by then."""
        job = await self._ask(subjects.ACCOUNTS_CREATE_EXPORT, CreateExport(**as_user(user)), DataJob)
        runner = self.entered.accounts.parts.data_rights.runner
        while await runner.run_due():
            continue
        return job.id

    async def _bot(self, user: User) -> str:
        if user.role is Role.GUEST:
            return "guests-have-none"
        request = CreateBot(**as_user(user), settings=BotSettings(name="Guide"))
        bot = await self._ask(subjects.ACCOUNTS_CREATE_BOT, request, Bot)
        key = SetProviderKey(**as_user(user), bot_id=bot.id, provider="openai", key="sk-0123456789")
        await self._ask(subjects.ACCOUNTS_SET_PROVIDER_KEY, key, ProviderKey)
        return bot.id

    async def _ask(self, subject: str, request: WireModel, reply: type[Reply]) -> Reply:
        return await MemoryBus.request(self.bus, subject, request, reply, timeout_s=20)

    async def _conversation(self, user: User) -> dict[str, str]:
        client_turn_id, conversation_id = uuid4().hex, IDS.new_conversation_id(user.id)
        turn = TurnRef(
            turn_id=IDS.turn_id(user.id, client_turn_id),
            client_turn_id=client_turn_id,
            owner_id=user.id,
            home="gateway-1",
        )
        said = StoreUserMessage(
            owner_id=user.id, turn=turn, conversation_id=conversation_id, text="A secret.", created_at_ms=1
        )
        await self._ask(subjects.MEMORY_STORE_USER_MESSAGE, said, Stored)
        document = DocumentRef(id="d1", name="guide.txt", collection="default")
        seal = Seal(
            nonce="n",
            turn=turn,
            conversation_id=conversation_id,
            outcome=TurnOutcome.COMPLETED,
            user_text="A secret.",
            text="An answer.",
            citations=(Citation(n=1, text="a passage", score=0.5, document=document, start=0, end=9),),
            model=MODEL,
            is_stored=True,
            accepted_at_ms=1,
            sealed_at_ms=2,
        )
        await self._ask(subjects.MEMORY_STORE_TURN, StoreTurn(owner_id=user.id, seal=seal), Stored)
        rated = RateCitation(
            owner_id=user.id,
            turn_id=client_turn_id,
            n=1,
            document_id="d1",
            start=0,
            end=9,
            verdict=Verdict.UP,
        )
        await self._ask(subjects.RAG_RATE_CITATION, rated, CitationFeedback)
        return {"conversation_id": conversation_id, "turn_id": client_turn_id}

    async def _document(self, user: User) -> dict[str, str]:
        name = f"c{uuid4().hex}"
        made = CreateCollection(owner_id=user.id, name=name)
        await self._ask(subjects.RAG_CREATE_COLLECTION, made, Collection)
        upload = CreateDocument(
            owner_id=user.id,
            collection=name,
            name="notes.txt",
            size_bytes=len(TEXT),
            sha256=sha256(TEXT).hexdigest(),
        )
        created = await self._ask(subjects.RAG_CREATE_DOCUMENT, upload, DocumentCreated)
        key = original_key(user.id, created.document.id)
        await self.bus.objects.put(key, TEXT)
        job = IngestDocument(owner_id=user.id, document_id=created.document.id, object_key=key)
        await self.rag.ingestion.run(job)
        return {"name": name, "document_id": created.document.id}

    async def _attachment(self, user: User) -> str:
        file = CreateAttachment(
            owner_id=user.id,
            name="n.txt",
            content_type="text/plain",
            size_bytes=len(TEXT),
            sha256=sha256(TEXT).hexdigest(),
        )
        made = (await self._ask(subjects.MEMORY_CREATE_ATTACHMENT, file, AttachmentCreated)).attachment
        await self.edge.originals.put(user.id, made.object_id, made.sha256, TEXT)
        done = FinishAttachment(owner_id=user.id, attachment_id=made.id, object_id=made.object_id)
        return (await self._ask(subjects.MEMORY_FINISH_ATTACHMENT, done, AttachmentCreated)).attachment.id

    async def _key_of(self, user: User) -> str:
        if user.role is Role.GUEST:
            return "guests-have-none"
        request = CreateKey(**as_user(user), name="k")
        return (await self._ask(subjects.ACCOUNTS_CREATE_KEY, request, KeyCreated)).described.id

    async def _invitation(self) -> str:
        request = CreateInvitation(**OWNER, new_role=Role.GUEST)
        return (await self._ask(subjects.ACCOUNTS_CREATE_INVITATION, request, LinkCreated)).id


async def _models(_: ListModels) -> ModelList:
    return ModelList(models=(ModelInfo(id=MODEL, pool="p", context_tokens=4096, owned_by="us"),))


def answer_for_models(bus: MemoryBus) -> None:
    """Answer as llm does whose models are all there."""
    pulled = ModelPull(model=LOCAL_MODEL, status=PullStatus.READY, started_at_ms=1, changed_at_ms=1)

    async def pull(_: PullModel | CancelPull) -> ModelPull:
        return pulled

    async def pulls(_: ListPulls) -> PullList:
        return PullList(pulls=(pulled,))

    async def delete(_: DeleteModel) -> Done:
        return Done()

    bus.answer(subjects.LLM_MODELS, ListModels, _models)
    bus.answer(subjects.LLM_PULL_MODEL, PullModel, pull)
    bus.answer(subjects.LLM_CANCEL_PULL, CancelPull, pull)
    bus.answer(subjects.LLM_LIST_PULLS, ListPulls, pulls)
    bus.answer(subjects.LLM_DELETE_MODEL, DeleteModel, delete)
    bus.answer(subjects.LLM_ERASE_USER, EraseUser, AnswerErasure(None).erase)


async def _page(request: ReadPage) -> PageText:
    return PageText(url=request.url, title="A page", text="What stands there.")


def app_of(client: httpx.AsyncClient) -> FastAPI:
    transport: Any = client._transport  # pyright: ignore[reportPrivateUsage] - the application is wanted too
    assert isinstance(transport.app, FastAPI)
    return transport.app


@asynccontextmanager
async def open_whole_edge(folder: Path, accounts_tables: Path) -> AsyncGenerator[WholeEdge]:
    """Run everything until the body ends; `accounts_tables` is a file with empty tables of accounts."""
    bus = RecordingBus()
    rag_settings = RagSettings(data_dir=folder, rag_embed_budget_s=5)
    async with (
        open_identities(folder, accounts_tables, bus) as entered,
        open_memory(
            MEMORY.url(None, folder),
            objects=bus.objects,
            bounds=AttachmentBounds(count=100, size_bytes=10**8, lasts_ms=10**6),
        ) as memory,
        open_database(None, folder) as rag_rows,
        open_edge(bus, folder, entered.identities) as client,
    ):
        memory_service = Service("memory", MemorySettings(data_dir=folder), bus)
        bind_memory(memory_service, memory.handlers, memory.rights)
        bind_attachments(memory_service, memory.files)
        rag_service = Service("rag", rag_settings, bus)
        rag = assemble(rag_rows, MemoryIndex(), bus, rag_settings, Measures(rag_service.metrics))
        bind_rag(rag_service, rag.handlers, rag.searching, rag.ingestion, slots=1)
        bind_quality(rag_service, rag.quality)
        bind_data_rights(rag_service, rag.rights)
        bus.answer(subjects.NPU_EMBED, Embed, FakeNpu().embed)
        answer_for_models(bus)
        bus.answer(subjects.BROWSER_READ, ReadPage, _page)
        del client.headers["Authorization"]
        yield WholeEdge(client, app_of(client), bus, entered, rag)
