"""What the model is given of what was found: the worthiest that fits, neighbours as one, in order."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from parley_contracts import subjects
from parley_contracts.citations import DocumentRef, Passage
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import Document, DocumentStatus, PassageText, ReadPassage
from parley_gateway.context import (
    MAX_JOINED_CHARS,
    PLACE_CHARS,
    ContextAssembly,
    choose,
    fit_pages,
    in_order,
    joined,
)
from parley_messaging.circuit import Circuits
from parley_messaging.memory_bus import MemoryBus

TEXT = "".join(f"Sentence {number} of the manual. " for number in range(400))
OWNER = "ada"


def passage(
    start: int,
    end: int,
    score: float = 1.0,
    *,
    document: str = "d1",
    heading: str | None = "Install",
    page: int | None = None,
) -> Passage:
    ref = DocumentRef(id=document, name=f"{document}.pdf", collection="default")
    return Passage(
        text=TEXT[start:end], score=score, document=ref, heading=heading, page=page, start=start, end=end
    )


def spans(passages: list[Passage]) -> list[tuple[int, int]]:
    return [(one.start, one.end) for one in passages]


def test_what_is_worth_most_for_its_length_is_chosen_after_the_best() -> None:
    best, long, short = passage(0, 900, 1.0), passage(1000, 1900, 0.9), passage(2000, 2300, 0.6)
    room = 900 + 300 + 2 * PLACE_CHARS
    assert choose([best, long, short], room) == [best, short]
    assert choose([best, long, short], room + 980) == [best, short, long]


def test_what_scores_less_than_half_of_the_best_is_left_out_though_there_is_room() -> None:
    assert spans(choose([passage(0, 100, 0.8), passage(200, 300, 0.4), passage(400, 500, 0.39)], 9000)) == [
        (0, 100),
        (200, 300),
    ]


def test_the_best_is_cut_to_a_window_that_cannot_hold_it_and_still_is_what_stands_there() -> None:
    (only,) = choose([passage(100, 1000)], 200)
    assert (only.start, only.end, only.text) == (100, 220, TEXT[100:220])


@given(
    st.lists(
        st.tuples(st.integers(0, 9000), st.integers(1, 2000), st.floats(0, 1, width=16)),
        max_size=20,
        unique_by=lambda one: one[0],
    ),
    st.integers(100, 20_000),
)
def test_what_is_chosen_fits_and_is_exact(found: list[tuple[int, int, float]], room: int) -> None:
    passages = [passage(start, min(start + size, len(TEXT)), score) for start, size, score in found]
    chosen = choose(passages, room)
    assert sum(len(one.text) + PLACE_CHARS for one in chosen) <= room
    assert all(one.text == TEXT[one.start : one.end] for one in chosen)
    groups = in_order(chosen)
    assert sorted(spans(chosen)) == sorted(span for group in groups for span in spans(group))
    # Joining neighbours never needs more room than they had apart.
    whole = [joined(group, TEXT[group[0].start : max(one.end for one in group)]) for group in groups]
    assert sum(len(one.text) + PLACE_CHARS for one in whole if one) <= room


def test_pages_share_the_room_with_each_other_and_the_passages() -> None:
    pages = fit_pages([passage(0, 6000), passage(0, 500)], 3000, leaves_room=True)
    assert [len(page.text) for page in pages] == [1000 - PLACE_CHARS, 500]
    assert [len(page.text) for page in fit_pages([passage(0, 2000)], 3000, leaves_room=False)] == [2000]


def test_the_best_document_comes_first_and_in_a_document_what_stands_first() -> None:
    found = [
        passage(5000, 5100, 0.6),
        passage(0, 100, 0.7, document="d2"),
        passage(0, 100, 0.9),
        passage(900, 1000, 0.95, document="d2"),
    ]
    order = [(one.document.id, one.start) for group in in_order(found) for one in group]
    assert order == [("d2", 0), ("d2", 900), ("d1", 0), ("d1", 5000)]


@pytest.mark.parametrize(
    ("first", "second", "are_one"),
    [
        (passage(0, 500), passage(400, 900), True),
        (passage(0, 500), passage(500, 900), True),
        (passage(0, 500), passage(502, 900), True),
        (passage(0, 500), passage(500 + PLACE_CHARS + 1, 900), False),
        (passage(0, 500), passage(502, 900, heading="Remove"), False),
        (passage(0, 500), passage(502, 900, document="d2"), False),
        (passage(0, 2000), passage(1900, MAX_JOINED_CHARS), True),
        (passage(0, 2000), passage(1900, MAX_JOINED_CHARS + 1), False),
        (passage(0, 500), passage(100, 200), True),
    ],
)
def test_neighbours_are_what_nearly_touches_under_one_heading(
    first: Passage, second: Passage, *, are_one: bool
) -> None:
    assert len(in_order([second, first])) == (1 if are_one else 2)


def test_joined_neighbours_keep_the_best_score_and_both_pages() -> None:
    group = [passage(0, 500, 0.6, page=3), passage(502, 900, 0.8, page=4)]
    whole = joined(group, TEXT[:900])
    assert whole is not None
    assert (whole.text, whole.start, whole.end) == (TEXT[:900], 0, 900)
    assert (whole.score, whole.page, whole.end_page) == (0.8, 3, 4)
    one_page = joined([passage(0, 500, page=3), passage(502, 900, page=3)], TEXT[:900])
    assert one_page is not None
    assert one_page.end_page is None


@pytest.mark.parametrize("text", [TEXT[1:901], TEXT[:899], "x" + TEXT[1:900]])
def test_neighbours_whose_document_says_something_else_by_now_are_not_joined(text: str) -> None:
    assert joined([passage(0, 500), passage(502, 900)], text) is None


class Rag:
    """Reads spans of `TEXT`, unless it is away."""

    def __init__(self) -> None:
        self.is_away = False
        self.asked: list[ReadPassage] = []

    async def read_passage(self, request: ReadPassage) -> PassageText:
        self.asked.append(request)
        if self.is_away:
            raise ParleyError(ErrorCode.UNAVAILABLE, "rag is away")
        document = Document(
            id=request.document_id,
            name="d1.pdf",
            collection="default",
            content_type="application/pdf",
            size_bytes=1,
            sha256="0" * 64,
            status=DocumentStatus.READY,
            created_at_ms=1,
        )
        return PassageText(document=document, before="", text=TEXT[request.start : request.end], after="")


@pytest_asyncio.fixture
async def bus() -> AsyncGenerator[MemoryBus]:
    bus = MemoryBus()
    await bus.start()
    yield bus


async def test_neighbours_are_joined_by_the_text_between_them_and_all_is_numbered(bus: MemoryBus) -> None:
    rag = Rag()
    bus.answer(subjects.RAG_READ_PASSAGE, ReadPassage, rag.read_passage)
    page = passage(0, 300, document="").model_copy(update={"url": "https://example.org/"})
    found = [passage(502, 900, 0.9), passage(0, 500, 0.8), passage(3000, 3100, 0.7)]
    given = await ContextAssembly(bus, Circuits()).assemble(OWNER, [page], found, 9000)
    assert [(one.n, one.start, one.end) for one in given] == [(1, 0, 300), (2, 0, 900), (3, 3000, 3100)]
    assert all(one.text == TEXT[one.start : one.end] for one in given)
    assert [(one.owner_id, one.document_id, one.around_chars) for one in rag.asked] == [(OWNER, "d1", 0)]


async def test_neighbours_stay_apart_while_rag_is_away(bus: MemoryBus) -> None:
    rag = Rag()
    rag.is_away = True
    bus.answer(subjects.RAG_READ_PASSAGE, ReadPassage, rag.read_passage)
    found = [passage(502, 900, 0.9), passage(0, 500, 0.8)]
    given = await ContextAssembly(bus, Circuits()).assemble(OWNER, [], found, 9000)
    assert [(one.n, one.start, one.end) for one in given] == [(1, 0, 500), (2, 502, 900)]


async def test_nothing_found_is_nothing_given(bus: MemoryBus) -> None:
    assert await ContextAssembly(bus, Circuits()).assemble(OWNER, [], [], 9000) == ()
