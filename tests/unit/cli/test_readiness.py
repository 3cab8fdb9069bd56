"""When a service counts as ready."""

import asyncio

from parley_cli.supervisor.readiness import http_probe


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
