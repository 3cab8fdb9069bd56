"""Files that people send with what they ask: images for models that see, texts for all of them."""

import hashlib
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from parley_contracts.model import MAX_EXACT, OwnedRequest, WireModel
from parley_contracts.rag import FileName

MAX_ATTACHMENTS = 10
"""That one message may carry."""

MAX_TURN_ATTACHMENTS = 40
"""That may stand in all messages of a turn that brings its own history."""

MAX_TURN_BYTES = 20 * 1024 * 1024
"""Of all that is sent to a model in one turn."""

IMAGE_CHARS = 3000
"""About what an image takes of a prompt."""

IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif")

ATTACHMENT_ID = r"^[0-9a-f]{32}$"
AttachmentId = Annotated[str, Field(pattern=ATTACHMENT_ID)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ContentType = Annotated[str, Field(min_length=1, max_length=200)]


def attachment_id(owner_id: str, name: str, content_type: str, sha256: str) -> str:
    """Return the id of a file of an owner's: the same file under the same name is the same attachment."""
    told = "\n".join((owner_id, sha256, content_type, name))
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Attachment(WireModel):
    """A file as its owner sees it."""

    id: AttachmentId
    name: str
    content_type: str
    size_bytes: int
    sha256: str
    created_at_ms: int
    expires_at_ms: int | None = Field(
        default=None, description="When it is removed unless it is sent; None: it is kept with what was said."
    )

    @property
    def is_image(self) -> bool:
        """Whether only a model with the capability `vision` can be given it."""
        return self.content_type in IMAGE_TYPES


class KeptAttachment(Attachment):
    """An attachment, and by which name its sealed content stands in the object store."""

    object_id: AttachmentId

    def shown(self) -> Attachment:
        """Return it as its owner sees it."""
        return Attachment(**self.model_dump(exclude={"object_id"}))


class SentAttachment(WireModel):
    """An attachment in a job: what the worker reads from the object store and hands to the model."""

    id: AttachmentId
    object_id: AttachmentId
    name: str
    content_type: str
    size_bytes: int
    sha256: str
    max_chars: int = Field(default=0, ge=0, description="Of a text: how much of it is quoted.")
    is_left_out: bool = Field(default=False, description="There is no room for it; the model is told so.")

    @property
    def is_image(self) -> bool:
        """Whether it is shown rather than quoted."""
        return self.content_type in IMAGE_TYPES

    @property
    def prompt_chars(self) -> int:
        """About how much of a prompt it takes."""
        if self.is_left_out:
            return 0
        return IMAGE_CHARS if self.is_image else self.max_chars


def as_seen(files: Iterable[SentAttachment], *, sees_images: bool) -> tuple[SentAttachment, ...]:
    """Return files as a model is given them: who does not see images is told that they are left out."""
    return tuple(
        one.model_copy(update={"is_left_out": True}) if one.is_image and not sees_images else one
        for one in files
    )


class CreateAttachment(OwnedRequest):
    """Request: make room for a file. The same file under the same name is the same attachment.

    One that nothing sends is removed after a day.
    """

    type: Literal["create_attachment"] = "create_attachment"
    name: FileName
    content_type: ContentType
    size_bytes: int = Field(ge=1, le=MAX_EXACT)
    sha256: Sha256


class AttachmentCreated(WireModel):
    """The attachment; `needs_content` says that its content is to be put, sealed, and to be finished then."""

    type: Literal["attachment_created"] = "attachment_created"
    attachment: KeptAttachment
    needs_content: bool


class FinishAttachment(OwnedRequest):
    """Request: the content is in the object store. `not_found` when the attachment was removed meanwhile."""

    type: Literal["finish_attachment"] = "finish_attachment"
    attachment_id: AttachmentId
    object_id: AttachmentId


class UseAttachments(OwnedRequest):
    """Request: these are about to be sent. Each counts as new; `not_found` unless all are the owner's."""

    type: Literal["use_attachments"] = "use_attachments"
    attachment_ids: tuple[AttachmentId, ...] = Field(min_length=1, max_length=MAX_TURN_ATTACHMENTS)


class ListAttachments(OwnedRequest):
    """Request: the owner's attachments, newest first; `attachment_id` asks for that one, or `not_found`."""

    type: Literal["list_attachments"] = "list_attachments"
    attachment_id: str | None = Field(default=None, max_length=128)
    limit: int = Field(default=50, ge=1, le=500)
    cursor: str | None = None


class AttachmentList(WireModel):
    """Attachments; `next_cursor` is None on the last page."""

    type: Literal["attachment_list"] = "attachment_list"
    attachments: tuple[KeptAttachment, ...]
    next_cursor: str | None = None


class DeleteAttachment(OwnedRequest):
    """Request: remove an attachment, also from what was said. `not_found` when it is not the owner's."""

    type: Literal["delete_attachment"] = "delete_attachment"
    attachment_id: str = Field(max_length=128)
