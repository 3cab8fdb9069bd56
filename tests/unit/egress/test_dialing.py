"""Names are asked for in threads of their own: so many at once, and addresses are asked of nobody."""

import asyncio
import socket
import subprocess
import sys
import threading
from ipaddress import ip_address

import pytest
from parley_egress import open_threads, resolving_in


async def test_names_are_asked_for_by_so_many_threads_and_those_end_with_their_owner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers, both_ask, asking = threading.Event(), threading.Barrier(3), list[str]()

    def ask(
        host: str, *_: object, **__: object
    ) -> list[tuple[object, object, object, object, tuple[str, int]]]:
        asking.append(host)
        if len(asking) <= 2:
            both_ask.wait(10)
        answers.wait(10)
        return [(None, None, None, None, ("192.0.2.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    async with open_threads(2, "names") as threads:
        resolve = resolving_in(threads)
        asked = [asyncio.ensure_future(resolve(f"n{number}.example.org", 443)) for number in range(5)]
        await asyncio.to_thread(both_ask.wait, 10)
        assert len(asking) == 2
        # What is an address already waits behind none of them.
        assert await resolve("192.0.2.7", 443) == [ip_address("192.0.2.7")]
        answers.set()
        assert await asyncio.gather(*asked) == [[ip_address("192.0.2.1")]] * 5
    with pytest.raises(RuntimeError, match="shutdown"):
        await resolve("late.example.org", 443)


_ASKS_AND_ENDS = """
import asyncio, socket, threading
from parley_egress import open_threads, resolving_in

is_asked, never = threading.Event(), threading.Event()

def ask(*_, **__):
    is_asked.set()
    never.wait()

socket.getaddrinfo = ask

async def main():
    async with open_threads(1, "names") as threads:
        resolve = resolving_in(threads)
        asking = [asyncio.ensure_future(resolve(name, 80)) for name in ("a.example", "b.example")]
        await asyncio.to_thread(is_asked.wait)
    try:
        await asking[1]
    except asyncio.CancelledError:
        print("the second was not begun")

asyncio.run(main())
"""


def test_a_process_ends_while_a_name_server_says_nothing() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _ASKS_AND_ENDS], capture_output=True, timeout=30, check=True, text=True
    )
    assert ended.stdout == "the second was not begun\n"


async def test_a_name_that_cannot_be_sent_to_a_name_server_is_one_that_has_no_address() -> None:
    async with open_threads(1, "names") as threads:
        with pytest.raises(OSError, match="cannot be encoded"):
            await resolving_in(threads)("a" * 70 + ".example.org", 443)
