"""rag is killed in the middle of a folder: after its restart the same passages are there as without."""

from io import BytesIO
from typing import Any
from zipfile import ZipFile

import httpx

from tests.integration.ingested import indexed_passages, per_document, stored_passages
from tests.integration.library import upload
from tests.integration.stack import Stack
from tests.integration.waiting import eventually
from tests.stack_marks import STACK

pytestmark = STACK

QUIET, KILLED = "ingested-quietly", "ingested-with-a-kill"
END_S = 60.0


def _text(about: str, paragraphs: int) -> bytes:
    return "\n\n".join(
        f"Paragraph {n} of {about} tells how valve {n * 7} is opened. " + "It is turned to the left. " * 30
        for n in range(paragraphs)
    ).encode()


def _folder() -> dict[str, bytes]:
    box = BytesIO()
    with ZipFile(box, "w") as archive:
        for n in range(4):
            archive.writestr(f"inside-{n}.txt", _text(f"file {n} in the box", 2))
        archive.writestr("setup.pdf", b"MZ\x90\x00" + bytes(200))
    small = {f"small-{n}.md": _text(f"small file {n}", 2) for n in range(3)}
    # The long one last: it has to be under way still when all are uploaded.
    return {**small, "box.zip": box.getvalue(), "long.txt": _text("the long file", 100)}


FOLDER = _folder()
DOCUMENTS = len(FOLDER) + 5


async def _documents(client: httpx.AsyncClient, collection: str) -> list[dict[str, Any]]:
    answer = await client.get("/api/documents", params={"collection": collection, "limit": 100})
    return answer.json()["documents"]


async def _upload_all(client: httpx.AsyncClient, collection: str) -> None:
    for name, data in FOLDER.items():
        assert (await upload(client, name, data, collection)).status_code == 202


async def _until_through(client: httpx.AsyncClient, collection: str) -> None:
    async def are_through() -> bool:
        found = await _documents(client, collection)
        return len(found) == DOCUMENTS and all(one["status"] in ("ready", "failed") for one in found)

    await eventually(are_through, within_s=END_S)


async def test_a_kill_in_the_middle_of_a_folder_changes_nothing_of_what_is_there_afterwards(
    stack: Stack,
) -> None:
    async with stack.http() as client:
        # First, as npu knows the vectors of the second time: then there is no middle to speak of.
        await _upload_all(client, KILLED)

        async def is_half_way() -> bool:
            return any(0 < one["chunks_done"] < one["chunks"] for one in await _documents(client, KILLED))

        await eventually(is_half_way)
        await stack.processes["rag"].kill()
        await stack.start("rag")
        await _until_through(client, KILLED)
        await _upload_all(client, QUIET)
        await _until_through(client, QUIET)
        boxes = {
            one["collection"]: one
            for collection in (QUIET, KILLED)
            for one in await _documents(client, collection)
            if one["name"] == "box.zip"
        }
        async with stack.without("rag"):
            expected, found = (stored_passages(stack.tables, one) for one in (QUIET, KILLED))
            indexed = await indexed_passages(stack.tables)
        for collection in (QUIET, KILLED):
            assert (await client.delete(f"/api/collections/{collection}")).status_code == 200
    assert found == expected
    assert max(found.values()) == 1
    assert indexed[QUIET] == per_document(expected)
    assert indexed[KILLED] == per_document(found)
    assert {one["error"] for one in boxes.values()} == {"1 of 5 could not be read."}
    assert {(one["members"], one["members_done"]) for one in boxes.values()} == {(5, 5)}
