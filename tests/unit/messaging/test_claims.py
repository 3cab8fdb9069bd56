"""Who answers asks for whom a request is made, and by whose word: on every bus, in one place."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from parley_contracts import headers, subjects
from parley_contracts.accounts import LOCAL_OWNER, CreateUser, User, UserState
from parley_contracts.claims import Acting, ClaimsFault, ClaimsMode, PrincipalKind
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.memory import ConversationMessages, ReadConversation
from parley_contracts.npu import Embed, Embeddings
from parley_contracts.policy import Permission, Role
from parley_contracts.rag import IngestDocument, Search, SearchResults
from parley_identity import create_claims_keys
from parley_identity.bus_claims import Signer, issue_claims
from parley_messaging import Service, ServiceSettings
from parley_messaging.acting import acting_for, current_acting, system_of
from parley_messaging.bus import Bus
from parley_messaging.claims_desk import ClaimsDesk
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.nats_bus import NatsBus
from parley_messaging.queues import INGEST

from tests.claims import GATEWAY_KEY, RAG_KEY, ToldDesk, keys_of

ADA = Acting("ada", Role.MEMBER)
EVA = Acting("eva", Role.OWNER)
READ = ReadConversation(owner_id="ada", conversation_id="c1")
SEARCH = Search(owner_id="ada", query="what")


@dataclass
class Place:
    """A bus with somebody who answers on it, and who was heard there."""

    bus: Bus
    desk: ToldDesk
    folder: Path
    asked: list[Acting | None]

    def signed(self, acting: Acting, area: str = "memory", key_file: str = GATEWAY_KEY) -> str:
        return Signer(self.folder / key_file).sign(acting, area)

    async def read(self, said: str | None) -> None:
        self.desk.said = said
        await self.bus.request(subjects.MEMORY_READ_CONVERSATION, READ, ConversationMessages)

    async def search(self, said: str | None) -> None:
        self.desk.said = said
        await self.bus.request(subjects.RAG_SEARCH, SEARCH, SearchResults)

    async def refusal(self, said: str | None) -> tuple[ErrorCode, str, str]:
        """Return what a reader is told, and what is counted."""
        self.desk.refused.clear()
        heard = len(self.asked)
        with pytest.raises(ParleyError) as refused:
            await self.read(said)
        assert len(self.asked) == heard
        (fault,) = self.desk.refused
        return refused.value.code, refused.value.message, fault


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("claims")
    create_claims_keys(made)
    return made


def answer_all(bus: Bus, asked: list[Acting | None]) -> None:
    async def read(_: ReadConversation) -> ConversationMessages:
        asked.append(current_acting())
        return ConversationMessages.model_construct()

    async def search(_: Search) -> SearchResults:
        asked.append(current_acting())
        return SearchResults(results=())

    async def embed(_: Embed) -> Embeddings:
        return Embeddings(model="m", engine="e", dimensions=1, vectors=b"\0\0\0\0")

    async def create(_: CreateUser) -> User:
        return User(
            id="u",
            name="u",
            email=None,
            display_name="",
            role=Role.GUEST,
            state=UserState.ACTIVE,
            has_password=False,
            created_at_ms=1,
        )

    bus.answer(subjects.MEMORY_READ_CONVERSATION, ReadConversation, read)
    bus.answer(subjects.RAG_SEARCH, Search, search)
    bus.answer(subjects.NPU_EMBED, Embed, embed)
    bus.answer(subjects.ACCOUNTS_CREATE_USER, CreateUser, create)


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.nats)])
async def place(request: pytest.FixtureRequest, folder: Path) -> AsyncGenerator[Place]:
    desk = ToldDesk(keys_of(folder))
    bus: Bus
    if request.param == "nats":
        bus = NatsBus(request.getfixturevalue("nats_url"), name="test", grace_s=2, claims=desk)
    else:
        bus = MemoryBus(desk)
    asked: list[Acting | None] = []
    answer_all(bus, asked)
    await bus.start()
    yield Place(bus, desk, folder, asked)
    await bus.close()


NOBODY = (ErrorCode.FORBIDDEN, "Nobody vouches for this request.")


async def test_the_owner_is_answered_and_the_handler_knows_for_whom_it_works(place: Place) -> None:
    await place.search(place.signed(ADA, "rag"))
    assert place.asked == [ADA]
    assert not place.desk.refused


async def test_what_names_nobody_needs_no_claims(place: Place) -> None:
    found = await place.bus.request(subjects.NPU_EMBED, Embed(texts=("a",)), Embeddings)
    assert found.dimensions == 1


CASES: dict[ClaimsFault, Callable[[Place], str | None]] = {
    ClaimsFault.MISSING: lambda place: None,
    ClaimsFault.MALFORMED: lambda place: "no claims at all",
    ClaimsFault.BAD_SIGNATURE: lambda place: place.signed(ADA)[:-8] + "AAAAAAAA",
    ClaimsFault.EXPIRED: lambda place: Signer(place.folder / GATEWAY_KEY).sign_lasting(
        ADA, ("memory",), lasts_s=-60
    ),
    ClaimsFault.OTHER_OWNER: lambda place: place.signed(EVA),
    ClaimsFault.OTHER_SUBJECT: lambda place: place.signed(ADA, "rag"),
    ClaimsFault.OTHER_TURN: lambda place: Signer(place.folder / GATEWAY_KEY).sign_lasting(
        replace(ADA, turn_id="t1"), ("memory",)
    ),
    ClaimsFault.WRONG_SIGNER: lambda place: place.signed(ADA, key_file=RAG_KEY),
}


@pytest.mark.parametrize("fault", list(CASES))
async def test_who_cannot_prove_for_whom_he_asks_is_told_nothing_but_that(
    place: Place, fault: ClaimsFault, caplog: pytest.LogCaptureFixture
) -> None:
    said = CASES[fault](place)
    assert await place.refusal(said) == (*NOBODY, fault)
    # What was asked, and what was shown for it, stands in no log.
    logged = [record.__dict__ for record in caplog.records if record.message == "claims do not hold"]
    assert [(one["fault"], one["subject"]) for one in logged] == [(fault, subjects.MEMORY_READ_CONVERSATION)]
    assert not any(value in (said, "c1") for value in logged[0].values() if value)


async def test_claims_seen_once_are_no_use_on_another_subject(place: Place) -> None:
    seen = place.signed(ADA, "rag")
    await place.search(seen)
    assert await place.refusal(seen) == (*NOBODY, ClaimsFault.OTHER_SUBJECT)
    job = Signer(place.folder / GATEWAY_KEY).sign_lasting(ADA, (subjects.RAG_INGEST,))
    with pytest.raises(ParleyError, match="Nobody vouches"):
        await place.search(job)


async def test_who_may_not_is_told_which_permission_it_takes(place: Place) -> None:
    narrow = replace(ADA, scopes=(Permission.DOCUMENTS_READ,), kind=PrincipalKind.KEY)
    code, message, fault = await place.refusal(place.signed(narrow))
    assert (code, message) == (ErrorCode.FORBIDDEN, "This needs the permission conversations:read.")
    assert fault == ClaimsFault.NOT_PERMITTED


async def test_services_act_of_their_own_accord_only_where_they_are_listed(place: Place) -> None:
    assert await place.refusal(place.signed(system_of("ada"))) == (*NOBODY, ClaimsFault.WRONG_SIGNER)
    rag = place.signed(system_of("ada"), key_file=RAG_KEY)
    assert await place.refusal(rag) == (*NOBODY, ClaimsFault.WRONG_SIGNER)


async def test_a_request_to_accounts_may_not_say_more_of_who_asks_than_its_claims(place: Place) -> None:
    async def create(acting: Acting, **asking: object) -> None:
        place.desk.said = place.signed(acting, "accounts")
        request = CreateUser.model_validate({"name": "eve", "new_role": "guest", **asking})
        await place.bus.request(subjects.ACCOUNTS_CREATE_USER, request, User)

    admin = Acting(LOCAL_OWNER, Role.ADMIN)
    await create(admin, owner_id=LOCAL_OWNER, role="admin")
    with pytest.raises(ParleyError, match="Nobody vouches"):
        await create(admin, owner_id=LOCAL_OWNER, role="owner")
    scoped = replace(admin, scopes=(Permission.USERS_WRITE,))
    await create(scoped, owner_id=LOCAL_OWNER, role="admin", scopes=["users:write"])
    with pytest.raises(ParleyError, match="Nobody vouches"):
        await create(scoped, owner_id=LOCAL_OWNER, role="admin")


async def test_another_teams_service_asks_what_its_claims_were_issued_for_and_nothing_else(
    place: Place,
) -> None:
    scopes = (Permission.CONVERSATIONS_READ, Permission.DOCUMENTS_READ)
    issued = issue_claims(place.folder, "ada", scopes, (subjects.RAG_SEARCH,), days=90)
    await place.search(issued)
    assert place.asked == [Acting("ada", Role.MEMBER, scopes, PrincipalKind.SERVICE)]
    assert await place.refusal(issued) == (*NOBODY, ClaimsFault.OTHER_SUBJECT)
    over = issue_claims(place.folder, "ada", scopes, (subjects.MEMORY_READ_CONVERSATION,), days=-1)
    assert await place.refusal(over) == (*NOBODY, ClaimsFault.EXPIRED)
    of_eva = issue_claims(place.folder, "eva", scopes, (subjects.MEMORY_READ_CONVERSATION,), days=1)
    assert await place.refusal(of_eva) == (*NOBODY, ClaimsFault.OTHER_OWNER)


async def test_who_only_observes_answers_and_counts(folder: Path) -> None:
    desk = ToldDesk(keys_of(folder), ClaimsMode.OBSERVE)
    bus, asked = MemoryBus(desk), list[Acting | None]()
    answer_all(bus, asked)
    await Place(bus, desk, folder, asked).search(None)
    assert asked == [None]
    assert desk.refused == {ClaimsFault.MISSING: 1}


async def test_a_request_for_another_than_the_work_is_done_for_is_sent_without_claims(folder: Path) -> None:
    desk = ClaimsDesk(keys_of(folder))
    with acting_for(EVA):
        assert desk.of_request(subjects.MEMORY_READ_CONVERSATION, READ) == {}
        assert desk.of_request(subjects.NPU_EMBED, Embed(texts=("a",))) == {}
    assert desk.of_request(subjects.MEMORY_READ_CONVERSATION, READ) == {}
    with acting_for(ADA):
        assert set(desk.of_request(subjects.MEMORY_READ_CONVERSATION, READ)) == {headers.CLAIMS}


async def test_jobs_are_taken_only_from_who_may_give_them(folder: Path) -> None:
    bus = MemoryBus(ToldDesk(keys_of(folder, RAG_KEY)))
    service = Service("rag", ServiceSettings(), bus)
    worked: list[str] = []

    async def work(job: IngestDocument) -> None:
        worked.append(job.document_id)

    service.work(INGEST, IngestDocument, work, slots=1)
    gateway = Signer(folder / GATEWAY_KEY)
    given = {
        "by-ada": gateway.sign_lasting(ADA, (subjects.RAG_INGEST,)),
        "by-rag": Signer(folder / RAG_KEY).sign_lasting(system_of("ada"), (subjects.RAG_INGEST,)),
        "by-nobody": "",
        "by-eva": gateway.sign_lasting(EVA, (subjects.RAG_INGEST,)),
        "by-a-guest": gateway.sign_lasting(Acting("ada"), (subjects.RAG_INGEST,)),
        "by-a-reader": gateway.sign_lasting(ADA, (subjects.RAG_SEARCH,)),
    }
    source = await bus.open_jobs(INGEST)
    (loop,) = service.loops
    for name, said in given.items():
        job = IngestDocument(owner_id="ada", document_id=name, object_key="ada/x")
        await bus.store(subjects.RAG_INGEST, job.model_dump_json().encode(), headers={headers.CLAIMS: said})
    while (job := await source.fetch(0.01)) is not None:
        await loop._work(job)  # pyright: ignore[reportPrivateUsage] - one job, without the loop's waiting
    assert worked == ["by-ada", "by-rag"]
    assert (await bus.queue_state(INGEST)).running == 0
