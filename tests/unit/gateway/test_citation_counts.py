"""What answers were given and cited is counted once, and told to rag in batches."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from parley_contracts import subjects
from parley_contracts.citations import Citation, DocumentRef
from parley_contracts.feedback import MAX_COUNTED, CollectionCitations, CountCitations
from parley_contracts.replies import Done
from parley_contracts.turns import Seal, StartTurn, Support, TurnOutcome, TurnRef
from parley_gateway.citation_counts import CitationCounts
from parley_gateway.turn_ending import new_seal
from parley_messaging.memory_bus import MemoryBus

COMMAND = StartTurn(
    turn=TurnRef(turn_id="x", client_turn_id="t", owner_id="ada", home="gateway-1"),
    conversation_id="c",
    continues_conversation=False,
    text="Why?",
    accepted_at_ms=1,
    deadline_ms=2,
)


def citation(n: int, collection: str = "default", url: str | None = None) -> Citation:
    ref = DocumentRef(id=f"d{n}", name="a.txt", collection=collection)
    return Citation(n=n, text="text", score=1.0, document=ref, start=0, end=4, url=url)


def seal(text: str, given: list[Citation], *, is_searched: bool = True) -> Seal:
    return new_seal(
        COMMAND, TurnOutcome.COMPLETED, text=text, citations=given, last_seq=1, is_searched=is_searched
    )


class Rag:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[CountCitations] = []

    async def count(self, request: CountCitations) -> Done:
        self.told.append(request)
        return Done()


@pytest.fixture
def rag() -> Rag:
    return Rag()


@pytest_asyncio.fixture
async def counts(rag: Rag) -> AsyncGenerator[CitationCounts]:
    bus = MemoryBus()
    bus.answer(subjects.RAG_COUNT_CITATIONS, CountCitations, rag.count)
    await bus.start()
    yield CitationCounts(bus)


async def test_passages_are_counted_by_collection_and_turns_by_support(
    counts: CitationCounts, rag: Rag
) -> None:
    given = [citation(1), citation(2), citation(3, "bakery"), citation(4, "web", url="https://example.org/")]
    counts.note(seal("So [1] and [3] and [4].", given), given)
    counts.note(seal("Who knows.", given[:1]), given[:1])
    counts.note(seal("Who knows.", []), [])
    counts.note(seal("Hello.", [], is_searched=False), [])
    assert (counts.given, counts.cited) == (4, 2)
    assert counts.turns_by_support == {"cited": 1, "uncited": 1, "nothing_found": 1, "not_searched": 1}
    await counts.send()
    await counts.send()
    (told,) = rag.told
    assert told.owner_id == "ada"
    assert list(told.counts) == [
        CollectionCitations(collection="default", given=3, cited=1),
        CollectionCitations(collection="bakery", given=1, cited=1),
    ]


async def test_what_is_left_is_told_at_the_end(counts: CitationCounts, rag: Rag) -> None:
    async with counts.finishing():
        counts.note(seal("So [1].", [citation(1)]), [citation(1)])
    assert len(rag.told) == 1


async def test_many_collections_are_told_in_several_requests(counts: CitationCounts, rag: Rag) -> None:
    given = [citation(n, f"c{n}") for n in range(1, MAX_COUNTED + 2)]
    counts.note(seal("", given), given)
    await counts.send()
    assert [len(told.counts) for told in rag.told] == [MAX_COUNTED, 1]


async def test_counts_that_rag_does_not_take_are_let_go(rag: Rag) -> None:
    bus = MemoryBus()
    await bus.start()
    counts = CitationCounts(bus)
    counts.note(seal("So [1].", [citation(1)]), [citation(1)])
    await counts.send()
    bus.answer(subjects.RAG_COUNT_CITATIONS, CountCitations, rag.count)
    await counts.send()
    assert rag.told == []


def test_an_answer_that_did_not_end_well_says_nothing_of_its_support() -> None:
    failed = new_seal(COMMAND, TurnOutcome.FAILED, text="[1]", citations=[citation(1)], last_seq=1)
    assert failed.support is None
    assert seal("[1]", [citation(1)]).support is Support.CITED
