"""What clients send wrongly: each fault has its own clear error, and the stack goes on as before."""

import json
from collections.abc import AsyncGenerator

import httpx
import pytest
import pytest_asyncio
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.integration.chat_client import ChatClient
from tests.integration.library import Library, followed, upload
from tests.integration.paced import QUICK, TWO_SECONDS
from tests.integration.stack import Stack
from tests.stack_marks import STACK
from tests.unit.rag.papers import pdf

pytestmark = STACK

QUICK_ID = f"ollama/{QUICK}"
FRAME_BYTES = 2 * 1024 * 1024
MESSAGE_TOO_BIG = 1009


async def still_answers(chat: ChatClient) -> None:
    turn = await chat.ask("Still there?", model=QUICK_ID, collections=[])
    assert turn.ending["type"] == "turn_completed", turn.ending


@pytest_asyncio.fixture(loop_scope="session")
async def chat(stack: Stack) -> AsyncGenerator[ChatClient]:
    async with stack.chat() as chat:
        yield chat
        await still_answers(chat)


@pytest_asyncio.fixture(loop_scope="session")
async def client(stack: Stack) -> AsyncGenerator[httpx.AsyncClient]:
    async with stack.http() as client:
        yield client
    async with stack.chat() as chat:
        await still_answers(chat)


@pytest.mark.parametrize(
    ("frame", "field", "words"),
    [
        ("What is a frame?", None, "not JSON"),
        ("", None, "not JSON"),
        (b"\xff\xfe\x00", None, "not JSON"),
        ("[1, 2]", None, "frame"),
        ("{}", "type", "type"),
        ('{"type": "make_tea"}', "type", "start_turn"),
        ('{"type": "start_turn"}', "text", "text"),
        ('{"type": "start_turn", "text": ""}', "text", "text"),
        ('{"type": "start_turn", "text": "   "}', "text", "text"),
        (json.dumps({"type": "start_turn", "text": "x" * 100_001}), "text", "text"),
        ('{"type": "start_turn", "text": "Hi", "turn_id": "a b"}', "turn_id", "turn_id"),
        ('{"type": "start_turn", "text": "Hi", "params": {"top_p": 7}}', "params.top_p", "top_p"),
        ('{"type": "start_turn", "text": "Hi", "turn_id": 7}', "turn_id", "turn_id"),
        ('{"type": "cancel_turn"}', "turn_id", "turn_id"),
        ('{"type": "resume_turn", "turn_id": "t", "after_seq": -1}', "after_seq", "after_seq"),
    ],
)
async def test_a_frame_that_cannot_be_understood_is_refused_and_the_socket_goes_on(
    chat: ChatClient, frame: str | bytes, field: str | None, words: str
) -> None:
    refusal = await chat.answer_to(frame)
    assert (refusal["type"], refusal["code"]) == ("error", "invalid_request")
    assert refusal.get("field") == field
    assert words in refusal["message"]
    assert refusal["retryable"] is False


async def test_an_unknown_model_is_refused_before_the_turn_is_accepted(chat: ChatClient) -> None:
    frame = {"type": "start_turn", "text": "Hi", "turn_id": "t-unknown-model", "model": "no/such"}
    refusal = await chat.answer_to(frame)
    assert (refusal["type"], refusal["code"]) == ("error", "model_not_found")
    assert (refusal["turn_id"], refusal["field"]) == ("t-unknown-model", "model")


async def test_a_collection_that_is_not_there_is_named_at_every_door(
    chat: ChatClient, client: httpx.AsyncClient
) -> None:
    turn = await chat.ask("Who?", model=QUICK_ID, collections=["nowhere"])
    assert (turn.ending["type"], turn.ending["code"]) == ("turn_failed", "not_found")
    assert turn.ending["message"] == "There is no collection 'nowhere'."
    searched = await client.post("/api/search", json={"query": "who", "collection": "nowhere"})
    error = searched.json()["error"]
    assert (searched.status_code, error["code"], error["field"]) == (404, "not_found", "collection")
    asked = {"model": QUICK_ID, "messages": [{"role": "user", "content": "Who?"}], "collections": ["nowhere"]}
    completion = await client.post("/v1/chat/completions", json=asked)
    assert (completion.status_code, completion.json()["error"]["code"]) == (404, "not_found")


async def test_a_frame_of_two_mebibytes_closes_its_socket_only_and_its_turn_is_resumed(stack: Stack) -> None:
    async with stack.chat() as chat:
        turn = await chat.start("Survive.", model=TWO_SECONDS.id, collections=[])
        await chat.until(lambda: bool(turn.text))
        await chat.send({"type": "start_turn", "text": "x" * FRAME_BYTES})
        with pytest.raises(ConnectionClosed) as caught:
            await chat.until(lambda: turn.is_over)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == MESSAGE_TOO_BIG
    assert "1048576" in caught.value.rcvd.reason
    async with stack.chat() as chat:
        await chat.resume(turn)
        await chat.until(lambda: turn.is_over)
        await still_answers(chat)
    assert turn.text == TWO_SECONDS.answer_begun_as(turn.text)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "API key"),
        ({"Authorization": "Bearer pk_wrong"}, "not valid"),
        ({"Authorization": "Basic cGs6"}, "API key"),
        ({"Cookie": "parley_session=local-owner.9999999999.00"}, "API key"),
    ],
)
async def test_a_missing_or_wrong_key_is_refused_at_the_door(
    stack: Stack, headers: dict[str, str], words: str
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with stack.chat(headers=headers):
            pass
    assert caught.value.response.status_code == 401
    refusal = json.loads(caught.value.response.body)["error"]
    assert (refusal["code"], words in refusal["message"]) == ("unauthenticated", True)
    async with stack.http(headers=headers) as client:
        for path in ("/api/conversations", "/api/documents", "/v1/models", "/v1/health", "/api/users/me"):
            response = await client.get(path)
            assert response.status_code == 401, path
            assert words in response.json()["error"]["message"]
            assert response.headers["www-authenticate"] == "Bearer"
    async with stack.chat() as chat:
        await still_answers(chat)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("locked.pdf", pdf([["secret"]], password="x"), "encrypted"),
        ("setup.pdf", b"MZ\x90\x00" + bytes(range(256)) * 64, "Windows program"),
        ("cut.pdf", pdf([["half"]])[:300], "PDF"),
        ("blank.txt", b" \n \n", "no text"),
    ],
)
async def test_a_file_that_cannot_be_read_fails_with_a_reason_and_the_others_stay(
    client: httpx.AsyncClient, library: Library, name: str, data: bytes, words: str
) -> None:
    response = await upload(client, name, data, library.collection)
    assert response.status_code == 202
    document = await followed(client, response.json()["document"]["id"])
    assert document["status"] == "failed"
    assert words in document["error"]
    assert document["chunks"] == 0
    assert (await client.delete(f"/api/documents/{document['id']}")).status_code == 200
    for document_id in library.ids.values():
        assert (await client.get(f"/api/documents/{document_id}")).json()["document"]["status"] == "ready"


async def test_an_upload_of_nothing_is_refused_and_leaves_no_document(
    client: httpx.AsyncClient, library: Library
) -> None:
    response = await upload(client, "empty.txt", b"", library.collection)
    assert response.status_code == 400
    refusal = response.json()["error"]
    assert (refusal["code"], refusal["field"]) == ("invalid_request", "file")
    assert "empty" in refusal["message"]
    listed = (await client.get("/api/documents", params={"limit": 1000})).json()["documents"]
    assert "empty.txt" not in {document["name"] for document in listed}


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/api/search", {"query": ""}, "query"),
        ("POST", "/api/search", {"query": "x", "limit": 1000}, "limit"),
        ("POST", "/api/collections", {"name": "a/b"}, "name"),
        ("GET", "/api/documents?limit=0", None, "limit"),
        ("GET", "/api/conversations?cursor=made-up", None, "cursor"),
    ],
)
async def test_a_bad_request_over_http_names_its_field(
    client: httpx.AsyncClient, method: str, path: str, body: dict[str, object] | None, field: str
) -> None:
    response = await client.request(method, path, json=body)
    assert response.status_code == 400
    refusal = response.json()["error"]
    assert (refusal["code"], refusal["field"]) == ("invalid_request", field)
    assert refusal["request_id"] == response.headers["x-request-id"]
