"""Models of the fake Ollama whose pace the tests rely on, and the text each must have written."""

import re
from dataclasses import dataclass

_CALL = re.compile(r"c(\d+)w0 ")


@dataclass(frozen=True)
class PacedModel:
    """A model that writes `count` words, one every `gap_ms`, the first after `ttft_ms`.

    `pad` dots behind each word make the answer large.
    """

    gap_ms: int
    count: int
    ttft_ms: int = 10
    pad: int = 0

    @property
    def name(self) -> str:
        """What Ollama calls it."""
        name = f"paced:ttft={self.ttft_ms},gap={self.gap_ms},count={self.count}"
        return f"{name},pad={self.pad}" if self.pad else name

    @property
    def id(self) -> str:
        """What clients of Parley call it."""
        return f"ollama/{self.name}"

    def answer_begun_as(self, text: str) -> str:
        """Return the whole answer of the call that a text comes from."""
        found = _CALL.match(text)
        assert found, text
        padding = "." * self.pad
        return "".join(f"c{found.group(1)}w{index} {padding}" for index in range(self.count))


QUICK = "llama3.2:1b"
TWO_SECONDS = PacedModel(gap_ms=20, count=100)
FIVE_SECONDS = PacedModel(gap_ms=40, count=135)
TEN_SECONDS = PacedModel(gap_ms=50, count=200)
DYING = ("cut_early", "paced:gap=2,count=150,cut=100")
"""The connection of the first breaks before a word, that of the second after 100."""

FAILING = ("error400", "error401", "error429", "too_long", "malformed")
"""Names by which the fakes of OpenAI's and Anthropic's servers fail."""

MODELS = (QUICK, TWO_SECONDS.name, FIVE_SECONDS.name, TEN_SECONDS.name)
