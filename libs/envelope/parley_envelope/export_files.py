"""Files of exports: put sealed as originals are, and opened for the user alone whom they are about."""

from typing import BinaryIO

from parley_contracts.data_rights import export_key

from parley_envelope.data_keys import DataKeys
from parley_envelope.envelope import SealError
from parley_envelope.originals import cannot_open
from parley_envelope.sealed_objects import Content, Objects, SealedObjects


class ExportFiles:
    """The files of all exports in an object store."""

    def __init__(self, objects: Objects, keys: DataKeys) -> None:
        self._objects = objects
        self._sealed = SealedObjects(objects, keys)

    async def put(self, user_id: str, job_id: str, file: BinaryIO) -> None:
        """Keep the file of an export; ParleyError `unavailable` when the store or the keys are away."""
        await self._sealed.put(export_key(job_id), file, _name_of(user_id, job_id))

    async def open(self, user_id: str, job_id: str) -> Content:
        """Return the file of a user's export.

        Raises:
            ParleyError: `not_found`; `unavailable` when its data key is not told now; `internal` when it is
                not what was put for this user.
        """
        try:
            return await self._sealed.open(export_key(job_id), _name_of(user_id, job_id))
        except SealError as error:
            raise cannot_open() from error

    async def delete(self, job_id: str) -> None:
        """Forget the file of an export; one that is not there is fine."""
        await self._objects.delete(export_key(job_id))


def _name_of(user_id: str, job_id: str) -> tuple[str, ...]:
    return ("export", user_id, job_id)
