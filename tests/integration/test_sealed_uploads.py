"""Uploads on a real stack: no file of nats-server shows one, and keys change while they come and go."""

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio

from tests.chaos.printed import print_row
from tests.integration.stack import Stack
from tests.integration.waiting import eventually
from tests.stack_marks import STACK

pytestmark = STACK

PLANTED = b"planted-nobody-may-find-this"
COLLECTION = "sealed"
FILES = 6


def file_of(number: int) -> bytes:
    """Return a text of some segments that shows itself wherever it is stored plain."""
    line = b"%s number %d stands by the reeds of the old mill.\n" % (PLANTED, number)
    return line * (20_000 if number == 0 else 300) + os.urandom(8).hex().encode()


async def upload(client: httpx.AsyncClient, number: int, content: bytes) -> str:
    made = await client.post(
        "/api/documents",
        files={"file": (f"sealed-{number}.txt", content, "text/plain")},
        data={"collection": COLLECTION},
    )
    assert made.status_code == 202, made.text
    return made.json()["document"]["id"]


async def is_ready(client: httpx.AsyncClient, document_id: str) -> bool:
    document: dict[str, Any] = (await client.get(f"/api/documents/{document_id}")).json()["document"]
    assert document["status"] != "failed", document
    return document["status"] == "ready"


async def command(stack: Stack, word: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "parley_cli", "accounts", word),
        env={
            "PARLEY_URL": stack.url(),
            "PARLEY_API_KEY": stack.owner_key,
            "PATH": "",
            "PYTHONPATH": ":".join(sys.path),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said
    return said.decode().strip()


def stored_files(folder: Path) -> list[bytes]:
    """Return what nats-server has in its files."""
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


@pytest_asyncio.fixture(loop_scope="session")
async def emptied(stack: Stack) -> AsyncGenerator[None]:
    yield
    async with stack.http() as owner:
        await owner.delete(f"/api/collections/{COLLECTION}")


async def test_keys_change_while_files_come_and_go_and_no_disk_of_the_bus_shows_one(
    stack: Stack, emptied: None
) -> None:
    async with stack.http(0) as one, stack.http(1) as other:
        contents = [file_of(number) for number in range(FILES)]
        first = await upload(one, 0, contents[0])

        async def put_and_get(number: int) -> str:
            client = (one, other)[number % 2]
            document_id = await upload(client, number, contents[number])
            for _ in range(3):
                for path, wanted in ((document_id, contents[number]), (first, contents[0])):
                    whole = await client.get(f"/api/documents/{path}/original")
                    assert (whole.status_code, whole.content) == (200, wanted)
            return document_id

        *said, _ = await asyncio.gather(
            command(stack, "rotate-kek"),
            command(stack, "rotate-data-key"),
            asyncio.gather(*(put_and_get(number) for number in range(1, FILES))),
        )
        print_row(f"{said[0]} {said[1]} {(FILES - 1) * 6} downloads meanwhile: all whole")
        await eventually(lambda: is_ready(one, first))
        part = await other.get(f"/api/documents/{first}/original", headers={"Range": "bytes=700000-700099"})
        assert (part.status_code, part.content) == (206, contents[0][700_000:700_100])
        told = (await one.get(f"/api/documents/{first}")).json()["document"]
        assert (told["size_bytes"], told["is_sealed"]) == (len(contents[0]), True)
        assert told["sha256"] == hashlib.sha256(contents[0]).hexdigest()
    found = await asyncio.to_thread(stored_files, stack.folder / "data" / "nats")
    print_row(f"{len(found)} files of nats-server, {sum(map(len, found)):,} bytes: none shows an upload")
    assert [len(one) for one in found if PLANTED in one] == []
    # What is looked for would be found: the name of the bucket's stream stands in plain words.
    assert any(b"OBJ_" in one for one in found)
