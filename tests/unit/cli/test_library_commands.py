"""Commands over documents and collections, against an API that answers what it is told to."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from parley_cli.app import build_app
from typer.testing import CliRunner, Result

COLLECTION = {"name": "manuals", "documents": 1, "chunks": 4, "created_at_ms": 0, "language": "english"}
REFUSAL = {"code": "not_found", "message": "There is no such document.", "retryable": False}
NOT_FOUND = 404, {"error": REFUSAL}
Answers = dict[str, tuple[int, Any]]


def document(number: int) -> dict[str, Any]:
    return {
        "id": f"d{number}",
        "name": f"{number}.md",
        "collection": "manuals",
        "content_type": "text/markdown",
        "size_bytes": 2048,
        "sha256": "0" * 64,
        "status": "failed",
        "error": "The PDF is encrypted.",
        "created_at_ms": 0,
    }


class Api:
    """Answers by method and path, and notes what it was asked."""

    def __init__(self) -> None:
        self.answers: Answers = {}
        self.asked: list[str] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api.asked.append(f"{self.command} {self.path}")
                status, body = api.answers.get(api.asked[-1], NOT_FOUND)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            do_DELETE = do_GET
            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """Keep the test's output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def run(self, *words: str, typed: str = "") -> Result:
        url = f"http://127.0.0.1:{self.server.server_port}"
        environment = {"PARLEY_URL": url, "PARLEY_API_KEY": "k", "COLUMNS": "200"}
        return CliRunner().invoke(build_app(words), list(words), env=environment, input=typed)


@pytest.fixture
def api() -> Iterator[Api]:
    served = Api()
    thread = threading.Thread(target=served.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield served
    served.server.shutdown()
    thread.join()
    served.server.server_close()


def test_all_pages_of_documents_are_listed(api: Api) -> None:
    api.answers = {
        "GET /api/documents?limit=1000": (200, {"documents": [document(1)], "next_cursor": "x/2"}),
        "GET /api/documents?limit=1000&cursor=x%2F2": (
            200,
            {"documents": [document(2)], "next_cursor": None},
        ),
    }
    listed = api.run("documents", "list")
    assert [line.split()[:4] for line in listed.stdout.splitlines()[1:]] == [
        ["d1", "1.md", "manuals", "failed"],
        ["d2", "2.md", "manuals", "failed"],
    ]
    found = json.loads(api.run("documents", "list", "--json").stdout)["documents"]
    assert [one["id"] for one in found] == ["d1", "d2"]


def test_all_pages_of_collections_are_listed(api: Api) -> None:
    other = {**COLLECTION, "name": "notes"}
    api.answers = {
        "GET /api/collections?limit=1000": (200, {"collections": [COLLECTION], "next_cursor": "manuals"}),
        "GET /api/collections?limit=1000&cursor=manuals": (200, {"collections": [other]}),
    }
    listed = api.run("collections", "list").stdout
    assert [line.split()[0] for line in listed.splitlines()[1:]] == ["manuals", "notes"]


def test_a_document_is_shown_with_why_it_failed(api: Api) -> None:
    written = {**document(1), "written_at_ms": 1_583_150_400_000}
    api.answers = {"GET /api/documents/d1": (200, {"document": written})}
    shown = api.run("documents", "show", "d1").stdout
    assert "The PDF is encrypted." in shown
    assert re.search(r"^written +2020-03-0[123] \d\d:00$", shown, re.MULTILINE)
    assert json.loads(api.run("documents", "show", "d1", "--json").stdout)["id"] == "d1"


def test_a_document_is_deleted_and_one_that_is_not_there_exits_with_4(api: Api) -> None:
    api.answers = {"DELETE /api/documents/d1": (200, {"type": "done"})}
    deleted = api.run("documents", "delete", "d1", "--json")
    assert (deleted.exit_code, json.loads(deleted.stdout)) == (0, {"deleted": "d1"})
    for words in (("documents", "delete", "../d2"), ("documents", "show", "d2")):
        refused = api.run(*words)
        assert (refused.exit_code, refused.stderr) == (4, "error: There is no such document.\n")
    assert "DELETE /api/documents/..%2Fd2" in api.asked


def test_collections_are_listed_and_deleted_only_when_that_is_confirmed(api: Api) -> None:
    api.answers = {
        "GET /api/collections?limit=1000": (200, {"collections": [COLLECTION]}),
        "DELETE /api/collections/my%20manuals": (200, {"type": "done"}),
    }
    assert api.run("collections", "list").stdout.splitlines()[1].split() == ["manuals", "english", "1", "4"]
    refused = api.run("collections", "delete", "my manuals", typed="n\n")
    assert (refused.exit_code, len(api.asked)) == (1, 1)
    assert api.run("collections", "delete", "my manuals", "--yes").exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("ask", "-c", "nocoll", "why?"),
        ("chat", "-c", "nocoll"),
        ("search", "-c", "nocoll", "why"),
        ("documents", "list", "-c", "nocoll"),
    ],
    ids=lambda words: words[0],
)
def test_a_collection_that_is_not_there_is_named_and_exits_with_4(api: Api, words: tuple[str, ...]) -> None:
    api.answers = {
        "GET /api/collections?limit=1000": (200, {"collections": [COLLECTION]}),
        "GET /api/documents?limit=1000&collection=nocoll": (200, {"documents": [], "next_cursor": None}),
        "POST /api/search": (
            404,
            {"error": {"code": "not_found", "message": "There is no collection 'nocoll'."}},
        ),
    }
    refused = api.run(*words)
    assert (refused.exit_code, refused.stderr) == (4, "error: There is no collection 'nocoll'.\n")


def test_while_documents_are_away_a_collection_is_taken_at_its_word(api: Api) -> None:
    away = {"code": "unavailable", "message": "A part is away.", "retryable": True}
    api.answers = {"GET /api/collections?limit=1000": (503, {"error": away})}
    refused = api.run("ask", "-c", "nocoll", "why?")
    # The turn itself is refused here: this API has no chat socket.
    assert "collection" not in refused.stderr
    assert api.asked[:2] == ["GET /api/collections?limit=1000", "GET /ws"]


def test_a_search_says_where_a_passage_stands_and_what_it_did_without(api: Api) -> None:
    ref = {"id": "d1", "name": "pump\x1b[2J.pdf", "collection": "manuals"}
    passage = {
        "text": "Oil\x9b it.",
        "score": 0.5,
        "document": ref,
        "page": 3,
        "end_page": 4,
        "start": 0,
        "end": 8,
    }
    api.answers = {"POST /api/search": (200, {"results": [passage], "degraded": ["npu"]})}
    found = api.run("search", "oil")
    assert found.stdout.split("\n")[:2] == ["1. pump\ufffd[2J.pdf pages 3-4  0.500", "   Oil\ufffd it."]
    assert "searched by words only" in found.stderr
    printed = json.loads(api.run("search", "oil", "--json").stdout)
    assert (printed["results"][0]["end_page"], printed["degraded"]) == (4, ["npu"])


def test_files_of_an_archive_that_failed_are_told_though_the_archive_is_ready(
    api: Api, tmp_path: Path
) -> None:
    box = tmp_path / "box.zip"
    box.write_bytes(b"PK")
    unpacked = {**document(1), "status": "ready", "members": 5, "error": "2 of 5 could not be read."}
    api.answers = {"POST /api/documents": (202, {"document": unpacked})}
    assert api.run("ingest", str(box)).stdout.splitlines() == [
        "1 of 1 documents are in default (0 passages, 5 files of archives).",
        "  ready box.zip: 2 of 5 could not be read.",
    ]
    [told] = json.loads(api.run("ingest", str(box), "--json").stdout)["documents"]
    assert (told["status"], told["members"], told["remark"]) == ("ready", 5, "2 of 5 could not be read.")


FOREIGN: list[object] = [{"error": "nope"}, [], {}, None, "x", {"documents": [{}]}, {"error": ["x"]}]


@pytest.mark.parametrize("body", FOREIGN)
@pytest.mark.parametrize("status", [200, 404])
def test_an_answer_that_is_not_of_this_api_is_told_in_one_sentence(api: Api, status: int, body: Any) -> None:
    api.answers = {"GET /api/documents?limit=1000": (status, body)}
    refused = api.run("documents", "list")
    assert refused.exit_code in (1, 4)
    assert re.fullmatch(r"error: .+\n", refused.stderr)


@pytest.mark.parametrize(
    "words",
    [
        ("ask", "-c", "a/b", "why?"),
        ("ask", "--conversation", "c" * 129, "why?"),
        ("ask", "-m", "m" * 201, "why?"),
        ("chat", "-c", ""),
    ],
)
def test_a_turn_that_cannot_be_asked_is_wrong_usage(api: Api, words: tuple[str, ...]) -> None:
    refused = api.run(*words)
    assert (refused.exit_code, api.asked) == (2, [])
    assert re.fullmatch(r"error: \w.+\n", refused.stderr)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PARLEY_URL", "http://[::1"),
        ("PARLEY_URL", "http://"),
        ("PARLEY_URL", "http://a:x"),
        ("PARLEY_API_KEY", "ü"),
    ],
)
def test_an_address_or_a_key_that_cannot_be_is_named(api: Api, name: str, value: str) -> None:
    environment = {"PARLEY_URL": "http://127.0.0.1:1", "PARLEY_API_KEY": "k", name: value, "COLUMNS": "200"}
    words = ("documents", "list")
    refused = CliRunner().invoke(build_app(words), list(words), env=environment)
    assert (refused.exit_code, name in refused.stderr) == (1, True)


def test_a_turns_id_that_cannot_be_is_wrong_usage(api: Api) -> None:
    refused = api.run("ask", "--turn-id", "my turn", "why?")
    assert refused.exit_code == 2
    assert "1 to 128 letters, digits and _ . : -, not 'my turn'" in refused.stderr
