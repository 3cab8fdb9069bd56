"""Answers whose every word says when it was written, and that end in a checksum of all before it.

A reader on the same machine thus learns of each word how long it was under way, and of the whole
whether a byte is missing, doubled or wrong. Times are microseconds of the monotonic clock, which all
processes share.
"""

import re
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_OPENING = re.compile(r"r(\d+)")
_WORD = re.compile(r" w(\d+)@(\d+)")
_ENDING = re.compile(r" end:([0-9a-f]{8})")
_PACE = re.compile(rb"pace\[([\d.]+),([\d.]+),(\d+)\]")


@dataclass(frozen=True, slots=True)
class Pace:
    """How an answer is written, told by the question itself. `words` 0 goes on until the upstream is told."""

    ttft_ms: float
    gap_ms: float
    words: int

    @property
    def question(self) -> str:
        """The question that asks for this pace."""
        return f"pace[{self.ttft_ms:g},{self.gap_ms:g},{self.words}]"

    @classmethod
    def asked_in(cls, body: bytes) -> "Pace | None":
        """Return the pace that a request's body asks for last."""
        found = _PACE.findall(body)
        if not found:
            return None
        ttft_ms, gap_ms, words = found[-1]
        return cls(float(ttft_ms), float(gap_ms), int(words))


class StampedText:
    """Writes one answer, piece by piece."""

    def __init__(self) -> None:
        self._received_us = time.monotonic_ns() // 1000
        self._checksum = 0
        self.words = 0

    def next_piece(self) -> str:
        """Return the next word, stamped with now; the first one also says when the question came."""
        piece = f" w{self.words}@{time.monotonic_ns() // 1000}"
        if not self.words:
            piece = f"r{self._received_us}{piece}"
        self.words += 1
        self._checksum = zlib.crc32(piece.encode(), self._checksum)
        return piece

    def ending(self) -> str:
        """Return the last piece."""
        return f" end:{self._checksum:08x}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader got: is it exact, when did the question reach the upstream, each word leave and come."""

    is_exact: bool
    received_us: int
    left_us: tuple[int, ...]
    came_us: tuple[int, ...]

    @property
    def added_gaps_ms(self) -> list[float]:
        """Return by how much each gap between two words grew on the way; negative where it shrank."""
        return [later - earlier for earlier, later in pairwise(self.delays_ms)]

    @property
    def delays_ms(self) -> list[float]:
        """Return how long each word was under way."""
        return [(came - left) / 1000 for left, came in zip(self.left_us, self.came_us, strict=True)]


def read_answer(pieces: Sequence[tuple[int, str]]) -> Reading:
    """Check an answer that came as texts, each with its time in microseconds."""
    text = "".join(piece for _, piece in pieces)
    opening, ending = _OPENING.match(text), _ENDING.search(text)
    words = list(_WORD.finditer(text))
    is_exact = (
        opening is not None
        and ending is not None
        and ending.end() == len(text)
        and int(ending.group(1), 16) == zlib.crc32(text[: ending.start()].encode())
        and [int(word.group(1)) for word in words] == list(range(len(words)))
    )
    came_us: list[int] = []
    arrivals = iter(pieces)
    end, at_us = 0, 0
    for word in words:
        while end < word.end():
            at_us, piece = next(arrivals)
            end += len(piece)
        came_us.append(at_us)
    return Reading(
        is_exact=is_exact,
        received_us=int(opening.group(1)) if opening else 0,
        left_us=tuple(int(word.group(2)) for word in words),
        came_us=tuple(came_us),
    )
