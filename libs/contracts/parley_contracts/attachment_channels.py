"""The channels of attachments, a part of the catalogue."""

from parley_contracts import attachments, subjects
from parley_contracts.channel import Channel, request_channel
from parley_contracts.replies import Done

ATTACHMENT_CHANNELS: tuple[Channel, ...] = (
    request_channel(
        "memory",
        subjects.MEMORY_CREATE_ATTACHMENT,
        attachments.CreateAttachment,
        attachments.AttachmentCreated,
        "Make room for a file that is to be sent.",
    ),
    request_channel(
        "memory",
        subjects.MEMORY_FINISH_ATTACHMENT,
        attachments.FinishAttachment,
        attachments.AttachmentCreated,
        "The file is in the object store.",
    ),
    request_channel(
        "memory",
        subjects.MEMORY_USE_ATTACHMENTS,
        attachments.UseAttachments,
        attachments.AttachmentList,
        "These files are about to be sent; whose they are is checked here.",
    ),
    request_channel(
        "memory",
        subjects.MEMORY_LIST_ATTACHMENTS,
        attachments.ListAttachments,
        attachments.AttachmentList,
        "The owner's files, newest first.",
    ),
    request_channel(
        "memory",
        subjects.MEMORY_DELETE_ATTACHMENT,
        attachments.DeleteAttachment,
        Done,
        "Remove a file for good.",
    ),
)
