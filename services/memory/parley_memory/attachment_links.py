"""Which files were sent with which questions: made and found with the messages, and gone with them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from parley_contracts.attachments import KeptAttachment
from sqlalchemy import Connection, Row, delete, insert, select

from parley_memory.ownership import OwnedConversation
from parley_memory.removals import remove_attachments
from parley_memory.tables import attachments, message_attachments


def kept_attachment(row: Row[*tuple[object, ...]], *, is_sent: bool) -> KeptAttachment:
    """Return what a row says; one that is sent does not expire."""
    return KeptAttachment(
        id=row.id,
        object_id=row.object_id,
        name=row.name,
        content_type=row.content_type,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        created_at_ms=row.created_at_ms,
        expires_at_ms=None if is_sent else row.expires_at_ms,
    )


def link_attachments(
    connection: Connection, conversation: OwnedConversation, turn_id: str, ids: Sequence[str]
) -> None:
    """Note what was sent with a question; what was removed meanwhile is left out."""
    mine = (attachments.c.id.in_(ids), attachments.c.owner_id == conversation.owner_id)
    # Whoever removes them waits, or has done so.
    there = set(connection.execute(select(attachments.c.id).where(*mine).with_for_update()).scalars())
    rows = [
        {
            "turn_id": turn_id,
            "attachment_id": one,
            "conversation_id": conversation.id,
            "owner_id": conversation.owner_id,
            "place": place,
        }
        for place, one in enumerate(dict.fromkeys(ids))
        if one in there
    ]
    if rows:
        connection.execute(insert(message_attachments), rows)


def attachments_of(connection: Connection, turn_ids: Sequence[str]) -> Mapping[str, Sequence[KeptAttachment]]:
    """Return what was sent with the questions of turns, by their ids on the bus."""
    found: defaultdict[str, list[KeptAttachment]] = defaultdict(list)
    if not turn_ids:
        return found
    link = message_attachments.c
    query = (
        select(attachments, link.turn_id)
        .join(message_attachments, link.attachment_id == attachments.c.id)
        .where(link.turn_id.in_(turn_ids), attachments.c.is_ready)
        .order_by(link.turn_id, link.place)
    )
    for row in connection.execute(query):
        found[row.turn_id].append(kept_attachment(row, is_sent=True))
    return dict(found)


def release_attachments(connection: Connection, conversation: OwnedConversation) -> None:
    """Remove what was sent in a conversation, but for what another one names as well."""
    link = message_attachments.c
    gone = delete(message_attachments).where(link.conversation_id == conversation.id)
    ids = set(connection.execute(gone.returning(link.attachment_id)).scalars())
    if not ids:
        return
    elsewhere = connection.execute(select(link.attachment_id).where(link.attachment_id.in_(ids)))
    remove_attachments(connection, sorted(ids - set(elsewhere.scalars())))
