"""Passwords as argon2id hashes, made in a bounded number of threads: a flood waits or is refused."""

import asyncio
import secrets
import unicodedata
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from parley_contracts.errors import ErrorCode, ParleyError

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class HashParameters:
    """What a hash costs."""

    memory_kib: int
    passes: int
    lanes: int


def _canonical(password: str) -> bytes:
    """Return the bytes that are hashed: keyboards write the same accents in different ways."""
    return unicodedata.normalize("NFKC", password).encode(errors="surrogatepass")


class Passwords:
    """Hashes and verifies; full rule: `at_once` run, `waiting` wait, more are refused with `overloaded`."""

    def __init__(
        self, parameters: HashParameters, threads: ThreadPoolExecutor, *, at_once: int, waiting: int
    ) -> None:
        self._hasher = PasswordHasher(
            time_cost=parameters.passes,
            memory_cost=parameters.memory_kib,
            parallelism=parameters.lanes,
            type=Type.ID,
        )
        self._threads = threads
        self._room = at_once + waiting
        # Verified when there is nothing to verify, so that this takes as long.
        self._decoy = self._hasher.hash(secrets.token_bytes(32))

    async def hash(self, password: str) -> str:
        """Return the hash of a password, with a salt of its own; ParleyError `overloaded` when all wait."""
        return await self._in_thread(lambda: self._hasher.hash(_canonical(password)))

    async def verify(self, password: str, stored: str | None) -> bool:
        """Return whether it is the password of a stored hash; without one False, after the same work."""
        is_right = await self._in_thread(lambda: self._verify(stored or self._decoy, password))
        return is_right and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Return whether a hash was made with other parameters than are asked for now."""
        return self._hasher.check_needs_rehash(stored)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, _canonical(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        if self._room <= 0:
            raise ParleyError(ErrorCode.OVERLOADED, "Too many people are logging in.", retry_after_s=1)
        self._room -= 1
        ending = asyncio.get_running_loop().run_in_executor(self._threads, work)
        # Also for a caller who leaves: a hash that has begun keeps its memory to its end.
        ending.add_done_callback(self._make_room)
        return await asyncio.shield(ending)

    def _make_room(self, ending: "asyncio.Future[Result]") -> None:
        self._room += 1
        if not ending.cancelled():
            ending.exception()


@asynccontextmanager
async def open_passwords(
    parameters: HashParameters, *, at_once: int, waiting: int
) -> AsyncGenerator[Passwords]:
    """Yield passwords with threads of their own."""
    threads = ThreadPoolExecutor(at_once, thread_name_prefix="password")
    try:
        yield await asyncio.to_thread(Passwords, parameters, threads, at_once=at_once, waiting=waiting)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
