"""A user of a real stack is exported and erased, while services die: nothing of him is in any file."""

import asyncio
import io
import json
import zipfile
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx
from parley_contracts.data_places import PLACES, PlaceKind

from tests.chaos.printed import print_row
from tests.integration.library import upload
from tests.integration.paced import QUICK
from tests.integration.stack import Stack
from tests.integration.waiting import eventually
from tests.stack_marks import STACK

pytestmark = STACK

MODEL = f"ollama/{QUICK}"
NAME, DISPLAY_NAME = "rosalind-of-quux", "Rosalind Quuxington"
PASSWORD = "a battery of forty horses"
QUESTION = "Whereabouts does Zanzibarius hide his marmalade?"
SENT = "Zanzibarius writes: the marmalade is almost gone."
UPLOADED = "The marmalade of Zanzibarius stands behind the ninth cupboard."
PROMPT = "You are the butler of Zanzibarius and say nothing of marmalade."
ASKED_BY_VISITOR = "Dear butler, how many spoons has Zanzibarius?"
PLANTED = (NAME, DISPLAY_NAME, "Zanzibarius", "marmalade", "Quuxington")
REPEATABLE = {"temperature": 0}
REMEMBERED = 3
"""His two questions, and that of his bot's visitor."""
PAGE = {"Origin": "https://quux.example"}


def holding(folder: Path) -> list[str]:
    """Return which files under a folder hold something planted, and what."""
    found: list[str] = []
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        data = path.read_bytes()
        found += [f"{path.relative_to(folder)}: {text}" for text in PLANTED if text.encode() in data]
    return found


def unlisted(folder: Path) -> list[str]:
    """Return what stands in the data folder and not in the registry."""
    patterns = [one.name for one in PLACES if one.kind is PlaceKind.FILE]
    return [
        path.name for path in folder.iterdir() if not any(fnmatch(path.name, pattern) for pattern in patterns)
    ]


async def member(stack: Stack) -> tuple[str, dict[str, str]]:
    """Return the id of a new user, and headers by which he asks."""
    async with stack.http() as owner:
        body = {"name": NAME, "display_name": DISPLAY_NAME, "role": "member", "password": PASSWORD}
        made = await owner.post("/api/admin/users", json=body)
        assert made.status_code == 201, made.text
    async with stack.http(headers={}) as client:
        login = await client.post("/api/auth/login", json={"login": NAME, "password": PASSWORD})
        return made.json()["id"], {"Authorization": f"Bearer {login.json()['access_token']}"}


async def live(stack: Stack, headers: dict[str, str]) -> None:
    """Leave something in every place that holds something of a user."""
    async with stack.http(headers=headers) as client:
        sent = await upload(client, "marmalade.md", f"{UPLOADED}\n\n{UPLOADED * 20}".encode(), "quux")
        assert sent.status_code == 202, sent.text

        async def is_ready() -> bool:
            found = (await client.get("/api/documents")).json()["documents"]
            return [one["status"] for one in found] == ["ready"]

        await eventually(is_ready)
        settings = {
            "name": "Butler",
            "prompt": PROMPT,
            "models": [{"model": MODEL, "params": REPEATABLE}],
            "uses_cache": True,
            "allowed_origins": list(PAGE.values()),
        }
        bot = (await client.post("/api/bots", json=settings)).json()
        await client.put(f"/api/bots/{bot['id']}/keys/openai", json={"key": "sk-Zanzibarius"})
        file = {"file": ("letter-of-Zanzibarius.txt", SENT.encode())}
        sent = (await client.post("/api/attachments", files=file)).json()["attachment"]["id"]
    async with stack.chat(0, headers=headers) as chat:
        for text in (QUESTION, f"And again: {QUESTION}"):
            sides = {"params": REPEATABLE, "cache": True, "attachments": [sent]}
            await chat.ask(text, model=MODEL, collections=["quux"], **sides)
    async with stack.http(headers=PAGE) as visitor:
        asked = await visitor.post(f"/api/chat/{bot['id']}", json={"text": ASKED_BY_VISITOR})
        assert asked.status_code == 200, asked.text


async def job_of(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    return (await client.get(path)).json()["jobs"][0]


async def exported(stack: Stack, headers: dict[str, str]) -> zipfile.ZipFile:
    async with stack.http(headers=headers) as client:
        assert (await client.post("/api/account/exports")).status_code == 202

        async def is_done() -> bool:
            return (await job_of(client, "/api/account/exports"))["state"] == "done"

        await eventually(is_done)
        job = await job_of(client, "/api/account/exports")
        other = await client.get(f"/api/account/exports/{job['id']}/file", headers=stack.headers)
        assert other.status_code == 404
        file = await client.get(f"/api/account/exports/{job['id']}/file")
        assert (file.status_code, len(file.content)) == (200, job["size_bytes"])
        return zipfile.ZipFile(io.BytesIO(file.content))


def check(archive: zipfile.ZipFile) -> None:
    lines = {
        name: [json.loads(line) for line in archive.read(name).splitlines()]
        for name in archive.namelist()
        if name.endswith(".jsonl")
    }
    questions = [one["text"] for one in lines["memory_messages.jsonl"] if one["role"] == "user"]
    assert sorted(questions) == sorted([QUESTION, f"And again: {QUESTION}"])
    assert lines["accounts_users.jsonl"][0]["display_name"] == DISPLAY_NAME
    assert PROMPT in lines["accounts_bots.jsonl"][0]["settings"]
    originals = {archive.read(name) for name in archive.namelist() if name.startswith("documents/")}
    assert {content[: len(UPLOADED)] for content in originals} == {UPLOADED.encode(), SENT.encode()}
    assert [one["name"] for one in lines["memory_attachments.jsonl"]] == ["letter-of-Zanzibarius.txt"]
    assert len(lines["memory_message_attachments.jsonl"]) == 2
    everything = b"".join(archive.read(name) for name in archive.namelist())
    assert b"sk-Zanzibarius" not in everything
    assert b"argon2" not in everything


async def test_a_user_is_exported_and_erased_and_stands_in_no_file_though_services_die(stack: Stack) -> None:
    user_id, headers = await member(stack)
    await live(stack, headers)
    archive = await exported(stack, headers)
    await asyncio.to_thread(check, archive)
    there = {text.partition(": ")[2] for text in await asyncio.to_thread(holding, stack.folder)}
    # With PostgreSQL the tables are in its files, which it sees to itself.
    in_tables = {NAME, DISPLAY_NAME} if (stack.folder / "data" / "accounts.sqlite").exists() else set[str]()
    assert there >= {"marmalade", "Zanzibarius"} | in_tables
    async with stack.chat(1, headers=headers) as chat:
        running = await chat.start(QUESTION, collections=["quux"])
        async with stack.http(headers=headers) as client:
            refused = await client.post("/api/account/erasure", json={"password": "not it"})
            assert refused.status_code == 401
            taken = await client.post("/api/account/erasure", json={"password": PASSWORD})
            assert taken.status_code == 202, taken.text
        for name in ("accounts", "memory", "rag"):
            await stack.processes[name].kill()
            await stack.start(name)
    assert running.turn_id
    path = f"/api/admin/users/{user_id}/data-jobs"
    async with stack.http() as owner:

        async def is_erased() -> bool:
            answer = await owner.get(path)
            return answer.status_code == 200 and answer.json()["jobs"][0]["state"] == "done"

        await eventually(is_erased, within_s=60)
        report = (await job_of(owner, path))["report"]
        assert (await owner.get(f"/api/admin/users/{user_id}")).status_code == 404
    async with stack.http(1, headers=headers) as client:
        assert (await client.get("/api/conversations")).status_code == 401
    assert report["kept"]["memory_erased_owners"]
    assert report["counts"]["memory"]["memory_attachments"] == 1
    assert await asyncio.to_thread(unlisted, stack.folder / "data") == []
    left = await asyncio.to_thread(holding, stack.folder)
    print_row(f"erased, by service: {report['counts']}")
    assert report["counts"]["llm"] == {"ans:*": REMEMBERED}
    assert left == []
