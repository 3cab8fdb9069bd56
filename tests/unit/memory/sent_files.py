"""Files of users, kept as a gateway does."""

from hashlib import sha256

from parley_contracts.attachments import (
    AttachmentCreated,
    CreateAttachment,
    FinishAttachment,
    KeptAttachment,
)
from parley_contracts.rag import sealed_key

from tests.unit.memory.stored_turns import ALICE, Memory

PNG = "image/png"


async def create(
    memory: Memory, name: str = "cat.png", owner_id: str = ALICE, *, size: int = 10
) -> AttachmentCreated:
    digest = sha256(name.encode()).hexdigest()
    request = CreateAttachment(owner_id=owner_id, name=name, content_type=PNG, size_bytes=size, sha256=digest)
    return await memory.files.create(request)


async def upload(memory: Memory, name: str = "cat.png", owner_id: str = ALICE) -> KeptAttachment:
    """Keep a file as a gateway does."""
    made = (await create(memory, name, owner_id)).attachment
    await memory.objects.put(sealed_key(owner_id, made.object_id), b"sealed")
    done = FinishAttachment(owner_id=owner_id, attachment_id=made.id, object_id=made.object_id)
    return (await memory.files.finish(done)).attachment
