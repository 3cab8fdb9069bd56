"""Finds the one document that somebody means by a file's name."""

from collections.abc import Sequence

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import MAX_NAME_CHARS, Document, ListDocuments

from parley_rag.documents import Documents

_LISTED = 20


class Files:
    """Documents by name, of one owner; of some of his collections where those are named."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def named(self, owner_id: str, name: str, collections: Sequence[str] | None) -> Document:
        """Return the document of a name or id, or the only one in whose name it stands.

        Raises:
            ParleyError: `not_found`, which names some of those that there are.
        """
        wanted = name.strip()
        found = await self._list(owner_id, collections, wanted[:MAX_NAME_CHARS] or None)
        exact = [one for one in found if one.name.casefold() == wanted.casefold()] or found
        if wanted and (len(exact) == 1 or (exact and exact is not found)):
            # Of several with the same name, in different collections, the newest is meant.
            return exact[0]
        if wanted and not found and (one := await self._by_id(owner_id, wanted, collections)) is not None:
            return one
        others = found or await self._list(owner_id, collections, None)
        listed = ", ".join(f"{one.name!r}" for one in others) or "none"
        message = f"There is no one file {wanted!r}. There are: {listed}."
        raise ParleyError(ErrorCode.NOT_FOUND, message, field="file")

    async def _list(
        self, owner_id: str, collections: Sequence[str] | None, name_part: str | None
    ) -> tuple[Document, ...]:
        request = ListDocuments(
            owner_id=owner_id,
            collections=None if collections is None else tuple(collections),
            name_part=name_part,
            limit=_LISTED,
        )
        return (await self._documents.page(request)).documents

    async def _by_id(
        self, owner_id: str, document_id: str, collections: Sequence[str] | None
    ) -> Document | None:
        try:
            found = await self._documents.read(owner_id, document_id)
        except ParleyError:
            return None
        return found if collections is None or found.collection in collections else None
