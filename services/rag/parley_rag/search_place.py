"""Where a search looks, and how its words weigh there."""

from collections.abc import Container, Sequence
from dataclasses import dataclass

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.npu import VectorSpace
from parley_contracts.rag import DocumentStatus, Search
from sqlalchemy import exists, literal, select, union_all

from parley_rag.database import Database
from parley_rag.tables import CollectionRow, DocumentRow, VectorSpaceRow
from parley_rag.vector_space import space_of
from parley_rag.vectors import Scope
from parley_rag.word_statistics import read_statistics
from parley_rag.words import Terms, by_rarity, joined_terms, most_by_words, weights_of

# Listed, so that the index on owner and status finds them without a look at the ready ones.
_NOT_READY = [status for status in DocumentStatus if status is not DocumentStatus.READY]


@dataclass(frozen=True, slots=True)
class Place:
    """The scope and what made its vectors; the query's words there.

    Attributes:
        languages: Those of the collections.
        terms: The query's words, weighed by how rare they are.
        most_by_words: What no passage's score by words exceeds.
    """

    scope: Scope
    space: VectorSpace
    languages: frozenset[str]
    terms: Terms
    most_by_words: float


async def find_place(database: Database, request: Search) -> Place | None:
    """Return where and for what to search; None when the owner has nothing ready there.

    Raises:
        ParleyError: `not_found` when a collection that is named is not the owner's.
    """
    inside = [DocumentRow.owner_id == request.owner_id]
    if request.collections is not None:
        inside.append(DocumentRow.collection.in_(request.collections))
    if request.document_ids is not None:
        inside.append(DocumentRow.id.in_(request.document_ids))
    ready = exists().where(*inside, DocumentRow.status == DocumentStatus.READY)
    hidden = select(literal(True), DocumentRow.id, literal("")).where(
        DocumentRow.owner_id == request.owner_id,
        DocumentRow.status.in_(_NOT_READY),
        DocumentRow.chunks_done > 0,
    )
    name = literal("") if request.collections is None else CollectionRow.name
    spoken = (
        select(literal(False), CollectionRow.language, name)
        .where(CollectionRow.owner_id == request.owner_id)
        .distinct()
    )
    if request.collections is not None:
        spoken = spoken.where(CollectionRow.name.in_(request.collections))
    async with database.reading() as session:
        found = (await session.execute(union_all(hidden, spoken))).all()  # one way to the database
        _insist_on(request.collections or (), {name for _, _, name in found})
        row = await session.scalar(select(VectorSpaceRow).where(ready))
        if row is None:
            return None
        hidden_ids = tuple(value for is_hidden, value, _ in found if is_hidden)
        languages = dict.fromkeys(value for is_hidden, value, _ in found if not is_hidden)
        queries = [weights_of(language).of_query(request.query) for language in languages]
        asked = joined_terms(queries)
        containing, passages = await read_statistics(session, request.owner_id, asked)
    most = (most_by_words(query, containing, passages) for query in queries)
    scope = Scope(
        request.owner_id,
        collections=request.collections,
        document_ids=request.document_ids,
        hidden_document_ids=hidden_ids,
        content_types=request.content_types,
        dated_from_ms=request.dated_from_ms,
        dated_before_ms=request.dated_before_ms,
    )
    # A passage is in one language, so the words of the other ones do not count against it.
    return Place(
        scope=scope,
        space=space_of(row),
        languages=frozenset(languages),
        terms=by_rarity(asked, containing, passages),
        most_by_words=max(most, default=0.0),
    )


def _insist_on(wanted: Sequence[str], found: Container[str]) -> None:
    for name in wanted:
        if name not in found:
            raise ParleyError(ErrorCode.NOT_FOUND, f"There is no collection {name!r}.", field="collections")
