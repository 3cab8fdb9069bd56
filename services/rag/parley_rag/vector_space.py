"""Which model and engine made the index's vectors: written with the first ones, held to ever after."""

import logging

from parley_contracts.npu import VectorSpace
from sqlalchemy import select

from parley_rag.database import Database
from parley_rag.tables import DocumentRow, VectorSpaceRow

_log = logging.getLogger("parley.rag")
_NAME = "passages"


class OtherVectorSpace(Exception):
    """Vectors of another model or engine were about to be added to the index."""


def space_of(row: VectorSpaceRow) -> VectorSpace:
    """Return the space that a row records."""
    return VectorSpace(row.model, row.engine, row.dimensions)


class VectorSpaces:
    """The record of what made the vectors."""

    def __init__(self, database: Database, dimensions: int) -> None:
        self._database = database
        self._dimensions = dimensions

    async def claim(self, space: VectorSpace) -> bool:
        """Make `space` the index's own while it is empty, else insist that it is; True if it was another."""
        async with self._database.writing() as session:
            row = await session.get(VectorSpaceRow, _NAME)
            held = row and space_of(row)
            if held == space:
                return False
            is_empty = (
                await session.scalar(select(DocumentRow.id).where(DocumentRow.chunks_done > 0).limit(1))
                is None
            )
            if space.dimensions == self._dimensions and (row is None or is_empty):
                await session.merge(
                    VectorSpaceRow(
                        name=_NAME, model=space.model, engine=space.engine, dimensions=space.dimensions
                    )
                )
                return held is not None
        _log.error(
            "embeddings refused: the index was made by another model or engine",
            extra={"index": str(held), "offered": str(space), "index_dimensions": self._dimensions},
        )
        raise OtherVectorSpace
