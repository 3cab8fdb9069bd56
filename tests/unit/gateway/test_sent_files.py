"""Files in turns: whose they are, which models see them, what goes into the job, what is sent again."""

from collections.abc import AsyncGenerator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from parley_contracts.attachments import IMAGE_CHARS, KeptAttachment, attachment_id
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turn_events import TurnCompleted
from parley_contracts.turns import ChatMessage
from parley_gateway.answer_reader import AnswerReader
from parley_gateway.completion_request import CompletionRequest, turn_id_of_key
from parley_gateway.file_room import choose_files, file_chars
from parley_gateway.inline_files import InlineFile
from parley_gateway.responses_request import ResponsesRequest
from parley_gateway.sent_files import SentFiles
from parley_gateway.spending import asked_chars
from parley_gateway.turn_door import AcceptedTurn
from parley_messaging.memory_bus import MemoryBus

from tests.fakes.data_keys import FakeDataKeys, originals_on
from tests.fakes.pictures import GIF, JPEG, data_url, png
from tests.unit.gateway.kept_files import keeping_files
from tests.unit.gateway.rig import OWNER, Gateway, Rig, running
from tests.unit.gateway.said_messages import said_in

QUESTION = "What is it?"
LARGE = b"\x89PNG\r\n\x1a\n" + bytes(3 * 1024 * 1024)


@pytest.fixture
def keys() -> FakeDataKeys:
    return FakeDataKeys()


@pytest_asyncio.fixture
async def rig(memory_bus: MemoryBus, keys: FakeDataKeys, tmp_path: Path) -> AsyncGenerator[Rig]:
    async with keeping_files(memory_bus, tmp_path, keys=keys), running(memory_bus) as rig:
        yield rig


async def keep(rig: Rig, data: bytes, kind: str = "image/png", owner_id: str = OWNER.owner_id) -> str:
    assert isinstance(rig.bus, MemoryBus)
    file = InlineFile("f", kind, data, sha256(data).hexdigest())
    return (await SentFiles(rig.bus, originals_on(rig.bus)).keep(owner_id, file)).id


async def require_unknown(rig: Rig, turn_id: str) -> None:
    """Fail when a turn has been accepted."""
    with pytest.raises(ParleyError) as caught:
        await rig.first.door.resume(OWNER, turn_id, 0, lambda frame, seq: None)
    assert caught.value.code is ErrorCode.NOT_FOUND


async def complete(gateway: Gateway, body: dict[str, Any], key: str | None = None) -> AcceptedTurn:
    request = CompletionRequest.model_validate({"model": "seeing", "collections": [], **body})
    said = said_in(request, owner_id=OWNER.owner_id)
    reader = AnswerReader(gateway.door, OWNER, max_bytes=1_000_000, turn_s=20)
    return await gateway.door.start(
        OWNER,
        request.start_frame(key, said),
        reader.take,
        history=said.history,
        caller=request.caller(said),
        is_stored=False,
    )


async def test_a_large_image_stays_out_of_the_job_which_names_it(rig: Rig) -> None:
    one = await keep(rig, LARGE)
    _, seen = await rig.first.ask(QUESTION, model="seeing", attachments=[one], collections=[])
    assert isinstance(await seen.ended(), TurnCompleted)
    (job,) = rig.model.calls
    assert [(file.id, file.is_left_out) for file in job.attachments] == [(one, False)]
    assert job.messages[-1].attachments == (one,)
    assert len(job.model_dump_json()) < 10_000
    await rig.neighbours.has_stored.wait()
    (seal,) = rig.neighbours.stored.values()
    assert seal.attachments == (one,)


async def test_a_turn_that_gathers_sends_its_files_too(rig: Rig) -> None:
    one = await keep(rig, png())
    _, seen = await rig.first.ask(QUESTION, model="seeing", attachments=[one, one])
    await seen.ended()
    (job,) = rig.model.calls
    assert job.citations
    assert job.messages[-1].attachments == (one,)


async def test_a_model_that_sees_nothing_refuses_images_before_anything_is_written(rig: Rig) -> None:
    one = await keep(rig, png())
    assert isinstance(rig.bus, MemoryBus)
    kept = dict(rig.bus.objects.kept)
    with pytest.raises(ParleyError) as caught:
        await rig.first.ask(QUESTION, model="scripted", attachments=[one], turn_id="t1")
    assert (caught.value.code, caught.value.field) == (ErrorCode.INVALID_REQUEST, "attachments")
    content = [
        {"type": "text", "text": QUESTION},
        {"type": "image_url", "image_url": {"url": data_url(png(9))}},
    ]
    said = {"model": "scripted", "messages": [{"role": "user", "content": content}]}
    with pytest.raises(ParleyError) as caught:
        await complete(rig.first, said, "key")
    assert (caught.value.code, caught.value.field) == (ErrorCode.INVALID_REQUEST, "messages")
    assert rig.bus.objects.kept == kept
    await require_unknown(rig, "t1")
    await require_unknown(rig, turn_id_of_key("key"))


async def test_a_text_is_sent_to_any_model_as_far_as_it_has_room(rig: Rig) -> None:
    one = await keep(rig, b"word " * 10_000, "text/plain")
    _, seen = await rig.first.ask(QUESTION, model="scripted", attachments=[one], collections=[])
    await seen.ended()
    (job,) = rig.model.calls
    (file,) = job.attachments
    assert 0 < file.max_chars < 4096 * 3 / 2
    assert "word" not in job.model_dump_json()
    assert job.command is not None
    assert asked_chars(job.command) == len(QUESTION) + file.max_chars


async def test_anothers_file_is_answered_as_one_that_is_not_there(rig: Rig) -> None:
    theirs = await keep(rig, png(), owner_id="somebody")
    told: list[tuple[object, ...]] = []
    for one in (theirs, "0" * 32):
        with pytest.raises(ParleyError) as caught:
            await rig.first.ask(QUESTION, model="seeing", attachments=[one], turn_id="t1")
        told.append((caught.value.code, caught.value.message, caught.value.field))
    assert told == [(ErrorCode.NOT_FOUND, "There is no such attachment.", "attachments")] * 2
    await require_unknown(rig, "t1")


async def test_images_in_a_completion_are_kept_once_and_a_repeat_of_it_is_the_same_turn(rig: Rig) -> None:
    def said(shade: int) -> dict[str, Any]:
        url = {"url": data_url(png(shade))}
        earlier = [{"type": "image_url", "image_url": {"url": data_url(GIF, "image/gif")}}]
        return {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Before?"}, *earlier]},
                {"role": "assistant", "content": "Yes."},
                {
                    "role": "user",
                    "content": [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": url}],
                },
            ]
        }

    assert isinstance(rig.bus, MemoryBus)
    first = await complete(rig.first, said(1), "key")
    again = await complete(rig.first, said(1), "key")
    assert (first.is_repeat, again.is_repeat) == (False, True)
    assert again.ref.turn_id == first.ref.turn_id
    assert len(rig.bus.objects.kept) == 2
    with pytest.raises(ParleyError) as caught:
        await complete(rig.first, said(2), "key")
    assert caught.value.code is ErrorCode.CONFLICT


async def test_keys_that_are_away_refuse_a_turn_with_images_before_it_is_accepted(
    rig: Rig, keys: FakeDataKeys
) -> None:
    keys.is_away = True
    content = [
        {"type": "text", "text": QUESTION},
        {"type": "image_url", "image_url": {"url": data_url(png())}},
    ]
    with pytest.raises(ParleyError) as caught:
        await complete(rig.first, {"messages": [{"role": "user", "content": content}]}, "key")
    assert caught.value.code is ErrorCode.UNAVAILABLE
    await require_unknown(rig, turn_id_of_key("key"))


async def test_files_of_earlier_questions_are_sent_again(rig: Rig) -> None:
    old = kept("old", size=10)
    rig.neighbours.history = (
        ChatMessage(role="user", content="Before?", attachments=(old.id, "f" * 32)),
        ChatMessage(role="assistant", content="Yes."),
    )
    rig.neighbours.files = (old,)
    first, seen = await rig.first.ask("Hello?", model="seeing", collections=[])
    await seen.ended()
    _, seen = await rig.first.ask(
        QUESTION, model="seeing", collections=[], conversation_id=first.conversation_id
    )
    await seen.ended()
    job = rig.model.calls[-1]
    assert [file.object_id for file in job.attachments] == [old.object_id]
    assert job.messages[1].attachments[0] == old.id
    _, seen = await rig.first.ask(
        QUESTION, model="scripted", collections=[], conversation_id=first.conversation_id
    )
    await seen.ended()
    assert [file.is_left_out for file in rig.model.calls[-1].attachments] == [True]


# -- what has room ------------------------------------------------------------------------------------


def kept(name: str, kind: str = "image/png", size: int = 1000) -> KeptAttachment:
    digest = sha256(name.encode()).hexdigest()
    return KeptAttachment(
        id=digest[:32],
        object_id=digest[32:],
        name=name,
        content_type=kind,
        size_bytes=size,
        sha256=digest,
        created_at_ms=1,
    )


def asked(*files: KeptAttachment) -> ChatMessage:
    return ChatMessage(role="user", content="?", attachments=tuple(one.id for one in files))


def left_out(
    messages: list[ChatMessage],
    files: list[KeptAttachment],
    *,
    context_tokens: int = 8192,
    sees_images: bool = True,
) -> set[str]:
    sent = choose_files(messages, files, context_tokens=context_tokens, sees_images=sees_images)
    assert len(sent) == len(files)
    return {one.name for one in sent if one.is_left_out}


def test_all_images_of_the_last_question_are_sent_and_the_latest_of_earlier_ones() -> None:
    files = [kept(f"{n}.png") for n in range(10)]
    messages = [*(asked(one) for one in files[:6]), asked(*files[6:])]
    room = int(8192 * 3 * 0.25) // IMAGE_CHARS
    assert room < 4
    assert left_out(messages, files) == {f"{n}.png" for n in range(6)}
    assert left_out(messages, files, context_tokens=200_000) == set()


def test_images_without_sight_and_bytes_without_end_are_left_out() -> None:
    files = [kept("a.png"), kept("n.txt", "text/plain")]
    assert left_out([asked(*files)], files, sees_images=False) == {"a.png"}
    large = [kept(f"{n}.png", size=9 * 1024 * 1024) for n in range(3)]
    assert left_out([asked(*large)], large) == {"2.png"}


def test_texts_share_the_room_and_the_latest_has_it_first() -> None:
    files = [kept(f"{n}.txt", "text/plain", size=8000) for n in range(3)]
    sent = choose_files([asked(one) for one in files], files, context_tokens=8192, sees_images=False)
    assert [(one.name, one.max_chars > 0, one.is_left_out) for one in sent] == [
        ("2.txt", True, False),
        ("1.txt", True, False),
        ("0.txt", False, True),
    ]
    assert file_chars(sent) <= 8192 * 3 * 0.4


# -- what stands in a request --------------------------------------------------------------------------


def text_part() -> dict[str, Any]:
    return {"type": "text", "text": QUESTION}


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def file(**told: str) -> dict[str, Any]:
    return {"type": "file", "file": told}


@pytest.mark.parametrize(
    ("part", "code", "place"),
    [
        (image("https://example.org/a.png"), ErrorCode.INVALID_REQUEST, ".image_url"),
        (image("file:///etc/passwd"), ErrorCode.INVALID_REQUEST, ".image_url"),
        (image("data:image/png;base64,@@@"), ErrorCode.INVALID_REQUEST, ".image_url"),
        (image("data:image/png,raw"), ErrorCode.INVALID_REQUEST, ".image_url"),
        (image("data:image/png;base64,"), ErrorCode.INVALID_REQUEST, ".image_url"),
        (image(data_url(b"plain text")), ErrorCode.UNSUPPORTED_TYPE, ".image_url"),
        (image(data_url(b"%PDF-1.7\xff")), ErrorCode.UNSUPPORTED_TYPE, ".image_url"),
        (image(data_url(png() + bytes(2000))), ErrorCode.TOO_LARGE, ".image_url"),
        (file(file_data="eA==", filename="../x"), ErrorCode.INVALID_REQUEST, ".file"),
        (file(filename="x"), ErrorCode.INVALID_REQUEST, ".file"),
        (file(file_data="eA==", file_id="0" * 32), ErrorCode.INVALID_REQUEST, ".file"),
        (file(file_id="file-abc"), ErrorCode.NOT_FOUND, ".file"),
    ],
    ids=[
        "https",
        "local",
        "no-base64",
        "not-encoded",
        "empty",
        "text-as-image",
        "pdf",
        "large",
        "name",
        "nothing",
        "both",
        "foreign-id",
    ],
)
def test_what_is_no_file_is_refused_by_its_place(part: dict[str, Any], code: ErrorCode, place: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": [text_part(), part]}]}
    with pytest.raises(ParleyError) as caught:
        said_in(CompletionRequest.model_validate(body))
    assert (caught.value.code, caught.value.field) == (code, f"messages.0.content.1{place}")


@pytest.mark.parametrize(
    "messages",
    [
        [
            {"role": "assistant", "content": [image(data_url(png()))]},
            {"role": "user", "content": "?"},
        ],
        [{"role": "user", "content": [text_part(), *(image(data_url(png(n))) for n in range(11))]}],
    ],
    ids=["assistant", "too-many"],
)
def test_only_users_send_files_and_not_too_many(messages: list[dict[str, Any]]) -> None:
    request = CompletionRequest.model_validate({"model": "m", "messages": messages})
    with pytest.raises(ParleyError) as caught:
        said_in(request)
    assert caught.value.field == "messages.0"


def test_a_file_part_is_a_text_or_an_image_and_may_name_an_attachment() -> None:
    content = [
        text_part(),
        file(file_data=data_url(b"# Notes", "text/markdown"), filename="notes.md"),
        file(file_data="aGVsbG8="),
        file(file_data=data_url(JPEG, "x/y"), filename="p.jpg"),
        file(file_id="a" * 32),
    ]
    said = said_in(
        CompletionRequest.model_validate({"model": "m", "messages": [{"role": "user", "content": content}]})
    )
    found = [(one.name, one.content_type) for one in said.files.values()]
    assert found == [
        ("notes.md", "text/markdown"),
        ("file.txt", "text/plain"),
        ("p.jpg", "image/jpeg"),
    ]
    assert said.attachments == (*said.files, "a" * 32)
    assert said.question == QUESTION
    digest = sha256(b"# Notes").hexdigest()
    assert said.attachments[0] == attachment_id("local-owner", "notes.md", "text/markdown", digest)


def test_a_response_names_images_and_files_in_its_own_words() -> None:
    content = [
        {"type": "input_text", "text": QUESTION},
        {"type": "input_image", "image_url": data_url(png()), "detail": "low"},
        {"type": "input_image", "file_id": "b" * 32},
        {"type": "input_file", "filename": "n.txt", "file_data": "aGVsbG8="},
    ]
    request = ResponsesRequest.model_validate({"model": "m", "input": [{"role": "user", "content": content}]})
    said = said_in(request.completion())
    assert [one.content_type for one in said.files.values()] == ["image/png", "text/plain"]
    assert (said.attachments[1], len(said.attachments)) == ("b" * 32, 3)
