"""From what was found to what the model is given: chosen by worth, neighbours joined, in order, numbered."""

import asyncio
from collections.abc import Iterable, Sequence

from parley_contracts import subjects
from parley_contracts.citations import Citation, Passage
from parley_contracts.errors import ParleyError
from parley_contracts.rag import PassageText, ReadPassage
from parley_messaging import Bus
from parley_messaging.circuit import Circuits

PLACE_CHARS = 80
"""What a passage costs in the prompt beside its text: number, name, page, headings."""

LEAST_SHARE_OF_BEST = 0.5
"""Of the best passage's score; what scores less leads a model astray more often than it helps."""

MAX_JOINED_CHARS = 2400
"""A citation is to name a place, not a chapter."""

JOIN_S = 0.25


def choose(passages: Sequence[Passage], room_chars: int) -> list[Passage]:
    """Return the passages worth most for their length that fit; the best is there, cut if it must be."""
    if not passages:
        return []
    best = max(passages, key=lambda passage: passage.score)
    others = [
        passage
        for passage in passages
        if passage is not best and passage.score >= LEAST_SHARE_OF_BEST * best.score
    ]
    others.sort(key=lambda passage: -passage.score / (len(passage.text) + PLACE_CHARS))
    chosen = [_cut(best, room_chars - PLACE_CHARS)]
    room_chars -= len(chosen[0].text) + PLACE_CHARS
    for passage in others:
        cost = len(passage.text) + PLACE_CHARS
        if cost <= room_chars:
            chosen.append(passage)
            room_chars -= cost
    return chosen


def fit_pages(pages: Sequence[Passage], room_chars: int, *, leaves_room: bool) -> list[Passage]:
    """Return pages, each cut to an equal share of the room; `leaves_room` keeps one share for passages."""
    share = room_chars // max(1, len(pages) + leaves_room)
    return [_cut(page, share - PLACE_CHARS) for page in pages]


def _cut(passage: Passage, chars: int) -> Passage:
    """Return the beginning of a passage; it still is exactly what stands at its place."""
    text = passage.text[: max(1, chars)]
    if text == passage.text:
        return passage
    return passage.model_copy(update={"text": text, "end": passage.start + len(text)})


def in_order(passages: Iterable[Passage]) -> list[list[Passage]]:
    """Return passages in groups of neighbours: best document first, in a document by position."""
    documents: dict[str, list[Passage]] = {}
    for passage in passages:
        documents.setdefault(passage.document.id, []).append(passage)
    best_first = sorted(documents.values(), key=lambda found: -max(one.score for one in found))
    return [group for found in best_first for group in _neighbours(found)]


def _neighbours(found: Sequence[Passage]) -> list[list[Passage]]:
    """Group passages of one document that overlap or nearly touch, under the same headings.

    What stands between two that are joined is no longer than the place it saves, so all still fit.
    """
    groups: list[list[Passage]] = []
    for passage in sorted(found, key=lambda one: (one.start, one.end)):
        group = groups[-1] if groups else []
        if (
            group
            and passage.heading == group[0].heading
            and passage.start - _end(group) <= PLACE_CHARS
            and max(passage.end, _end(group)) - group[0].start <= MAX_JOINED_CHARS
        ):
            group.append(passage)
        else:
            groups.append([passage])
    return groups


def _end(group: Sequence[Passage]) -> int:
    return max(passage.end for passage in group)


def joined(group: Sequence[Passage], text: str) -> Passage | None:
    """Return neighbours as one passage of `text`; None when that is not what they say at their places."""
    first, last = group[0], max(group, key=lambda passage: passage.end)
    start = first.start
    if len(text) != last.end - start:
        return None
    if any(text[one.start - start : one.end - start] != one.text for one in group):
        return None
    score = max(passage.score for passage in group)
    last_page = last.end_page or last.page
    end_page = None if last_page == first.page else last_page
    return first.model_copy(update={"text": text, "end": last.end, "score": score, "end_page": end_page})


class ContextAssembly:
    """Makes the numbered passages of a prompt; rag knows the text that stands between neighbours."""

    def __init__(self, bus: Bus, circuits: Circuits) -> None:
        self._bus = bus
        self._circuits = circuits

    async def assemble(
        self, owner_id: str, pages: Sequence[Passage], passages: Sequence[Passage], room_chars: int
    ) -> tuple[Citation, ...]:
        """Return what the model is given, in order: the pages that were asked for, then passages."""
        given = fit_pages(pages, room_chars, leaves_room=bool(passages))
        room_chars -= sum(len(page.text) + PLACE_CHARS for page in given)
        groups = in_order(choose(passages, room_chars))
        for group in await asyncio.gather(*(self._join(owner_id, group) for group in groups)):
            given += group
        return tuple(Citation(n=n, **dict(passage)) for n, passage in enumerate(given, start=1))

    async def _join(self, owner_id: str, group: list[Passage]) -> list[Passage]:
        """Return neighbours as one passage; as they are when rag is away or their document has changed."""
        if len(group) == 1:
            return group
        request = ReadPassage(
            owner_id=owner_id,
            document_id=group[0].document.id,
            start=group[0].start,
            end=_end(group),
            around_chars=0,
        )
        try:
            with self._circuits.to("rag-passages").passing(JOIN_S):
                found = await self._bus.request(
                    subjects.RAG_READ_PASSAGE, request, PassageText, timeout_s=JOIN_S
                )
        except ParleyError:
            return group
        whole = joined(group, found.text)
        return group if whole is None else [whole]
