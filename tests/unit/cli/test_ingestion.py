"""Uploads: which files, under which names, how they are followed and what is told of failures."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from parley_cli.client.access import Access
from parley_cli.client.gateway import Gateway
from parley_cli.client.ingestion import Result, ingest_all
from parley_cli.client.sources import Source, find_sources
from parley_cli.exits import CliError, ExitCode
from parley_contracts.rag import Document

ACCESS = Access("http://gateway", "pk_key")


class Heard:
    """A progress that only remembers."""

    def __init__(self) -> None:
        self.chunks: list[int] = []
        self.sent: dict[str, int] = {}

    def uploading(self, source: Source, sent_bytes: int) -> None:
        self.sent[source.name] = sent_bytes

    def ingesting(self, source: Source, document: Document) -> None:
        self.chunks.append(document.chunks_done)

    def finished(self, result: Result) -> None:
        pass


def document(status: str, **values: Any) -> dict[str, Any]:
    return {
        "id": "d1",
        "name": "a.md",
        "collection": "default",
        "content_type": "text/markdown",
        "size_bytes": 5,
        "sha256": "0" * 64,
        "status": status,
        "created_at_ms": 0,
        **values,
    }


def test_files_are_named_as_they_are_given_and_folders_lend_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("README.md", "docs/a.md", "docs/sub/b.PDF", "docs/c.png", "docs/.git/d.md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")
    monkeypatch.chdir(tmp_path)
    relative = [source.name for source in find_sources([Path("README.md"), Path("docs"), Path("docs/a.md")])]
    assert relative == ["README.md", "docs/a.md", "docs/sub/b.PDF"]
    assert [source.name for source in find_sources([tmp_path / "docs"])] == ["docs/a.md", "docs/sub/b.PDF"]
    monkeypatch.chdir(tmp_path / "docs")
    assert [source.name for source in find_sources([Path("."), Path("../README.md")])] == [
        "a.md",
        "sub/b.PDF",
        "README.md",
    ]


def test_files_of_one_name_do_not_replace_one_another(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "notes.md" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(str(path))
    names = [source.name for source in find_sources([*paths, paths[0]])]
    assert names == [str(path.resolve()).lstrip("/") for path in paths]


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CliError, match=r"There is no .*gone\.pdf: nothing was uploaded\.") as caught:
        find_sources([tmp_path / "gone.pdf"])
    assert caught.value.exit_code is ExitCode.NOT_FOUND


async def test_a_document_is_followed_until_it_is_ready(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("hello")
    states = [
        document("queued"),
        document("ingesting", chunks=4, chunks_done=1),
        document("ingesting", chunks=4, chunks_done=3),
        document("ready", chunks=4, chunks_done=4),
    ]
    bodies: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            bodies.append(request.content)
            assert request.headers["Authorization"] == "Bearer pk_key"
            return httpx.Response(202, json={"document": states.pop(0)})
        assert request.url.path == "/api/documents/d1"
        return httpx.Response(200, json={"document": states.pop(0)})

    heard = Heard()
    async with Gateway(ACCESS, httpx.MockTransport(answer)) as gateway:
        [result] = await ingest_all(gateway, [Source(file, "docs/a.md")], "manuals", heard)
    assert (result.error, result.document and result.document.chunks) == (None, 4)
    assert heard.chunks == [0, 1, 3]
    assert heard.sent == {"docs/a.md": 5}
    assert b'filename="docs/a.md"' in bodies[0]
    assert b"manuals" in bodies[0]


async def test_failures_are_told_for_each_file_and_the_others_go_on(tmp_path: Path) -> None:
    for name in ("bad.pdf", "good.md", "empty.txt"):
        (tmp_path / name).write_text(name)

    def answer(request: httpx.Request) -> httpx.Response:
        if b"bad.pdf" in request.content:
            return httpx.Response(202, json={"document": document("failed", error="The PDF is encrypted.")})
        if b"empty.txt" in request.content:
            error = {"code": "invalid_request", "message": "The file is empty.", "retryable": False}
            return httpx.Response(400, json={"error": error})
        return httpx.Response(202, json={"document": document("ready", chunks=1)})

    sources = [Source(tmp_path / name, name) for name in ("bad.pdf", "good.md", "empty.txt", "gone.md")]
    async with Gateway(ACCESS, httpx.MockTransport(answer)) as gateway:
        results = await ingest_all(gateway, sources, "default", Heard())
    assert [result.error for result in results] == [
        "The PDF is encrypted.",
        None,
        "The file is empty.",
        "cannot be read: No such file or directory",
    ]


async def test_an_overloaded_gateway_is_asked_again_when_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    refusals = [httpx.Response(429, headers={"Retry-After": "2"}), httpx.Response(503)]

    async def note(delay_s: float) -> None:
        waits.append(delay_s)

    monkeypatch.setattr(asyncio, "sleep", note)

    def answer(request: httpx.Request) -> httpx.Response:
        assert json.loads(request.content) == {"query": "why", "limit": 3, "collection": "docs"}
        return refusals.pop(0) if refusals else httpx.Response(200, json={"results": []})

    async with Gateway(ACCESS, httpx.MockTransport(answer)) as gateway:
        assert (await gateway.search("why", "docs", 3)).results == ()
    assert waits[0] == 2
    assert waits[1] >= 2


async def test_nobody_at_the_address_ends_an_ingestion_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("a")

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    async with Gateway(ACCESS, httpx.MockTransport(refuse)) as gateway:
        with pytest.raises(CliError) as caught:
            await ingest_all(gateway, [Source(tmp_path / "a.md", "a.md")] * 5, "default", Heard())
    assert caught.value.exit_code is ExitCode.NOT_RUNNING
