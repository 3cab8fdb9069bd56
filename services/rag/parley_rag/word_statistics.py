"""How many of an owner's indexed passages contain each word: what makes a word rare, whatever the index.

A passage is counted in the transaction that notes that it is indexed, and discounted in the one that notes
that it is not.
"""

from collections import Counter
from collections.abc import Collection, Iterable

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from parley_rag.tables import TermRow

_PASSAGES = -1  # stands for no word: how many passages there are
_ADD = text(
    "INSERT INTO rag_terms (owner_id, term, passages) VALUES (:owner_id, :term, :passages)"
    " ON CONFLICT (owner_id, term) DO UPDATE SET passages = rag_terms.passages + excluded.passages"
)


async def count_passages(
    session: AsyncSession, owner_id: str, passages: Collection[Iterable[int]], *, sign: int = 1
) -> None:
    """Count the terms of passages that have just been indexed, or discount them with `sign` -1."""
    if not passages:
        return
    counted = Counter(term for terms in passages for term in terms)
    counted[_PASSAGES] = len(passages)
    # In one order, so that two writers never wait for each other.
    rows = [
        {"owner_id": owner_id, "term": term, "passages": sign * counted[term]} for term in sorted(counted)
    ]
    await session.execute(_ADD, rows)


async def read_statistics(
    session: AsyncSession, owner_id: str, terms: Iterable[int]
) -> tuple[dict[int, int], int]:
    """Return how many of an owner's passages contain each term, and how many passages there are."""
    query = select(TermRow.term, TermRow.passages).where(
        TermRow.owner_id == owner_id, TermRow.term.in_([*terms, _PASSAGES])
    )
    found = {row.term: row.passages for row in (await session.execute(query)).all()}
    return found, found.pop(_PASSAGES, 0)
