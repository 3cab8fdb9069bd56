"""When a service counts as ready."""

import asyncio
from collections.abc import Callable

import pytest
from parley_cli.supervisor.readiness import NatsGreeting, http_probe, nats_greeting


async def answered_with(status: str, body: str, instance: str) -> bool:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        await writer.drain()
        writer.write(body.encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        return await http_probe(server.sockets[0].getsockname()[1])(instance)


async def test_a_service_that_answers_in_its_own_name_is_ready() -> None:
    assert await answered_with("200 OK", '{"instance":"rag-1"}', "rag-1")


async def test_another_stacks_service_on_the_same_port_is_not_ours() -> None:
    assert not await answered_with("200 OK", '{"instance":"rag-2"}', "rag-1")


async def test_a_service_that_says_it_is_not_ready_is_not() -> None:
    assert not await answered_with("503 Service Unavailable", '{"instance":"rag-1"}', "rag-1")


async def greeting(line: bytes, scheme: str = "nats") -> NatsGreeting:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(line)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        return await nats_greeting(f"{scheme}://a:b@127.0.0.1:{server.sockets[0].getsockname()[1]}", 4222)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'INFO {"version":"2.9.10","jetstream":true}\r\n', NatsGreeting.WITH_JETSTREAM),
        (b'INFO {"version":"2.9.10"}\r\n', NatsGreeting.NO_JETSTREAM),
        (b"SSH-2.0-OpenSSH_9.2\r\n", NatsGreeting.NOT_NATS),
        (b"", NatsGreeting.NOT_NATS),
    ],
)
async def test_a_nats_server_is_known_by_its_greeting(line: bytes, expected: NatsGreeting) -> None:
    assert await greeting(line) is expected


async def test_a_greeting_that_encryption_may_hide_is_not_asked_for() -> None:
    assert await greeting(b"", "tls") is NatsGreeting.WITH_JETSTREAM


async def test_a_server_that_stays_silent_is_no_nats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley_cli.supervisor.readiness.PROBE_TIMEOUT_S", 0.1)
    left = asyncio.Semaphore(0)

    async def listen_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.release()

    async with await asyncio.start_server(listen_only, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await nats_greeting(f"nats://127.0.0.1:{port}", 4222) is NatsGreeting.NOT_NATS
        async with asyncio.timeout(10):
            await left.acquire()  # whether it can be reached
            await left.acquire()  # what it says


async def test_one_good_server_of_a_list_is_enough(free_port: Callable[[], int]) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"jetstream":true}\r\n')
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        urls = f"nats://127.0.0.1:{free_port()}, nats://127.0.0.1:{port}"
        assert await nats_greeting(urls, 4222) is NatsGreeting.WITH_JETSTREAM
