"""Files on their way into a turn: kept sealed, and checked by memory."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from parley_contracts import subjects
from parley_contracts.attachments import (
    MAX_TURN_ATTACHMENTS,
    MAX_TURN_BYTES,
    AttachmentCreated,
    AttachmentList,
    CreateAttachment,
    FinishAttachment,
    KeptAttachment,
    UseAttachments,
)
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turns import StartTurn
from parley_envelope import Originals
from parley_messaging import Bus

from parley_gateway.inline_files import InlineFile
from parley_gateway.stored_files import open_stored_files

ASK_S = 5.0


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """The files of a turn.

    Attributes:
        known: Those that are kept.
        new: Those that came with the turn.
        image_field: The field of the request that names images; None where there are none.
    """

    known: tuple[KeptAttachment, ...] = ()
    new: tuple[InlineFile, ...] = ()
    image_field: str | None = None


class SentFiles:
    """Keeps files, and finds those that a turn names; without `originals`, it opens them for its first."""

    def __init__(self, bus: Bus, originals: Originals | None = None) -> None:
        self._bus = bus
        self._opened = originals

    @property
    def _originals(self) -> Originals:
        if self._opened is None:
            self._opened, _ = open_stored_files(self._bus)
        return self._opened

    async def keep(self, owner_id: str, file: InlineFile) -> KeptAttachment:
        """Keep a file; the same one again is the one that there is.

        Raises:
            ParleyError: `quota_exceeded`; `unavailable` when it cannot be kept, or not be sealed, now.
        """
        await self._originals.make_ready()
        request = CreateAttachment(
            owner_id=owner_id,
            name=file.name,
            content_type=file.content_type,
            size_bytes=len(file.data),
            sha256=file.sha256,
        )
        created = await self._bus.request(
            subjects.MEMORY_CREATE_ATTACHMENT, request, AttachmentCreated, timeout_s=ASK_S
        )
        made = created.attachment
        if not created.needs_content:
            return made
        await self._originals.put(owner_id, made.object_id, file.sha256, file.data)
        done = FinishAttachment(owner_id=owner_id, attachment_id=made.id, object_id=made.object_id)
        finished = await self._bus.request(
            subjects.MEMORY_FINISH_ATTACHMENT, done, AttachmentCreated, timeout_s=ASK_S
        )
        return finished.attachment

    async def find(self, command: StartTurn, given: Mapping[str, InlineFile]) -> FoundFiles:
        """Return the files that a turn's messages name; `given` ones come with it.

        Raises:
            ParleyError: `not_found` for what is not the owner's, `too_large`; nothing is written.
        """
        named = _named(command)
        if not named:
            return FoundFiles()
        field = "messages" if given else "attachments"
        if len(named) > MAX_TURN_ATTACHMENTS:
            message = f"{field}: at most {MAX_TURN_ATTACHMENTS} files in a turn."
            raise ParleyError(ErrorCode.TOO_LARGE, message, field=field)
        owner_id = command.turn.owner_id
        known = await self._use(owner_id, [one for one in named if one not in given], field)
        size_bytes = sum(one.size_bytes for one in known) + sum(len(one.data) for one in given.values())
        if size_bytes > MAX_TURN_BYTES:
            message = f"{field}: the files of a turn have at most {MAX_TURN_BYTES} bytes."
            raise ParleyError(ErrorCode.TOO_LARGE, message, field=field)
        new = tuple(given[one] for one in named if one in given)
        shows_images = any(one.is_image for one in (*known, *new))
        return FoundFiles(known, new, image_field=field if shows_images else None)

    async def keep_all(self, command: StartTurn, found: FoundFiles) -> StartTurn:
        """Return a turn with what is known of all its files; those that came with it are kept now.

        Raises:
            ParleyError: As `keep` does.
        """
        kept = [await self.keep(command.turn.owner_id, one) for one in found.new]
        return command.model_copy(update={"kept_attachments": (*found.known, *kept)})

    async def _use(self, owner_id: str, ids: Iterable[str], field: str) -> tuple[KeptAttachment, ...]:
        wanted = tuple(ids)
        if not wanted:
            return ()
        request = UseAttachments(owner_id=owner_id, attachment_ids=wanted)
        try:
            found = await self._bus.request(
                subjects.MEMORY_USE_ATTACHMENTS, request, AttachmentList, timeout_s=ASK_S
            )
        except ParleyError as error:
            raise ParleyError(error.code, error.message, retryable=error.retryable, field=field) from error
        return found.attachments


def _named(command: StartTurn) -> tuple[str, ...]:
    earlier = (one for message in command.history or () for one in message.attachments)
    return tuple(dict.fromkeys((*command.attachments, *earlier)))
