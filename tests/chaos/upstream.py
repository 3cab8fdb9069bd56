"""The models of the fake upstream that the chaos runs stream from."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tests.authorship import WrittenWord, authorship_fault
from tests.fakes.ollama_server import Call
from tests.integration.paced import PacedModel

_WORD = re.compile(r"c(\d+)w(\d+) ")


@dataclass(frozen=True)
class SignedModel:
    """A model whose every word names the call that wrote it and its place in the answer."""

    gap_ms: int
    count: int

    @property
    def name(self) -> str:
        """What Ollama calls it."""
        return f"paced:ttft=10,gap={self.gap_ms},count={self.count},signed=1"

    @property
    def id(self) -> str:
        """What clients of Parley call it."""
        return f"ollama/{self.name}"


def signed_fault(text: str, count: int, calls: Sequence[Call]) -> str | None:
    """Say why a text is not `count` words of one generation, each call going on from the last."""
    words = [WrittenWord(int(one[1]), int(one[2]), one[0]) for one in _WORD.finditer(text)]
    if "".join(word.text for word in words) != text:
        return f"not whole words: {text[:60]!r}"
    if len(words) != count:
        return f"{len(words)} of {count} words"
    return authorship_fault(words, {call.number: call.prefix for call in calls})


SIX_SECONDS = PacedModel(gap_ms=50, count=120)
TEN_SECONDS = PacedModel(gap_ms=50, count=200)
LARGE = PacedModel(gap_ms=20, count=200, pad=2000)
SLOW_START = PacedModel(gap_ms=50, count=20, ttft_ms=5000)
SIGNED = {count: SignedModel(gap_ms=50, count=count) for count in (*range(10, 100, 5), 120, 200)}
QUICK = SignedModel(gap_ms=0, count=20)
MODELS = (
    SIX_SECONDS.name,
    TEN_SECONDS.name,
    LARGE.name,
    SLOW_START.name,
    *(model.name for model in (QUICK, *SIGNED.values())),
)
