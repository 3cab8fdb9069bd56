"""The benchmarks' readers must see a byte that is wrong, and a piece that is missing or comes twice."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from benchmarks.chat_clients import ChatClients
from benchmarks.load import delta_frames
from benchmarks.relay_clients import judge
from benchmarks.stamped_text import Pace, StampedText, read_answer
from benchmarks.upstream import Connection, listen

Change = Callable[[bytes], bytes]
WORDS = 6


def _pieces(words: int = WORDS) -> list[str]:
    text = StampedText()
    return [*(text.next_piece() for _ in range(words)), text.ending()]


def _is_exact(pieces: list[str]) -> bool:
    return read_answer([(0, piece) for piece in pieces]).is_exact


def _is_wrong(frames: list[bytes]) -> bool:
    return judge(frames, "t", 1, 5) not in ("exact", "merged")


@asynccontextmanager
async def _changing_relay(port: int, change: Change) -> AsyncGenerator[int]:
    """Pass everything on to a port, its answers changed."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, question = await asyncio.open_connection("127.0.0.1", port)
        question.write(await reader.read(65536))
        try:
            while data := await upstream.read(65536):
                writer.write(change(data))
        finally:
            question.close()
            writer.close()

    async def tracked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await serve(reader, writer)

    server = await asyncio.start_server(tracked, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _ask(port: int, pace: Pace) -> list[dict[str, Any]]:
    clients = ChatClients()
    await clients.open("all", "openai", port, "sk-test", 3)
    await clients.ask("all", pace.question, 3, 0)
    await clients.wait("all", 5)
    answers = (await clients.close("all"))["answers"]
    assert len(answers) == 3
    return answers


async def _answers_through(change: Change) -> list[dict[str, Any]]:
    connections: set[Connection] = set()
    server, port = await listen(connections)
    async with server, _changing_relay(port, change) as relayed:
        return await _ask(relayed, Pace(ttft_ms=0, gap_ms=2, words=WORDS))


def test_an_untouched_answer_is_exact() -> None:
    assert _is_exact(_pieces())


def test_an_answer_is_exact_however_its_pieces_are_joined() -> None:
    text = "".join(_pieces())
    assert all(_is_exact([text[:cut], text[cut:]]) for cut in range(len(text)))


@pytest.mark.parametrize("place", range(WORDS + 1))
def test_a_missing_or_doubled_piece_is_seen(place: int) -> None:
    pieces = _pieces()
    assert not _is_exact(pieces[:place] + pieces[place + 1 :])
    assert not _is_exact(pieces[: place + 1] + pieces[place:])


def test_any_wrong_byte_is_seen() -> None:
    text = "".join(_pieces())
    for place in range(len(text)):
        wrong = "x" if text[place] != "x" else "y"
        assert not _is_exact([text[:place] + wrong + text[place + 1 :]])


def test_a_word_is_timed_by_the_piece_that_completes_it() -> None:
    first, second = _pieces()[:2]
    reading = read_answer([(10, first), (20, second[:4]), (35, second[4:])])
    assert reading.came_us == (10, 35)


async def test_clients_read_the_upstream_exactly_and_time_each_word() -> None:
    answers = await _answers_through(lambda data: data)
    assert [answer["is_exact"] for answer in answers] == [True] * 3
    assert [len(answer["delays_ms"]) for answer in answers] == [WORDS] * 3
    assert all(answer["ttft_ms"] >= 0 for answer in answers)


async def test_clients_see_a_byte_that_a_relay_changed() -> None:
    answers = await _answers_through(lambda data: data.replace(b" w3@", b" w7@"))
    assert not any(answer["is_exact"] for answer in answers)


async def test_clients_see_an_event_that_a_relay_dropped() -> None:
    answers = await _answers_through(lambda data: b"" if b" w3@" in data and b"end" not in data else data)
    assert not any(answer["is_exact"] for answer in answers)


def test_relayed_frames_are_compared_byte_by_byte() -> None:
    frames = delta_frames("t", 1, 5)
    assert judge(frames, "t", 1, 5) == "exact"
    assert _is_wrong(frames[:2] + frames[3:])
    assert _is_wrong([*frames[:2], frames[2].replace(b"w2", b"w3"), *frames[3:]])
    assert _is_wrong([frames[1], frames[0], *frames[2:]])
    assert _is_wrong([*frames[:3], *frames[2:]])
    assert _is_wrong([*frames, frames[-1]])


def test_deltas_that_a_lagging_socket_got_as_one_are_the_same_text() -> None:
    frames = delta_frames("t", 1, 5)
    merged = frames[2].replace(b" w2", b" w1 w2")
    assert judge([frames[0], merged, *frames[3:]], "t", 1, 5) == "merged"
    assert _is_wrong([frames[0], merged.replace(b" w2", b""), *frames[3:]])
