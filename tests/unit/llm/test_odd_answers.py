"""Numbers of servers that no frame can hold."""

import json

from parley_contracts.llm import ModelInfo
from parley_llm.backends.ollama import OllamaOptions
from parley_llm.backends.ollama_library import open_library
from parley_llm.backends.token_counts import count
from parley_llm.language_model import TextChunk
from parley_llm.resident_models import ResidentModels
from parley_llm.written_answer import WrittenAnswer

from tests.fakes.ollama_server import OllamaFake


def _refused(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def test_a_token_that_cannot_be_has_a_likelihood_that_every_reader_of_json_takes() -> None:
    answer = WrittenAnswer(b'"t"')
    weighed = TextChunk("a", ({"token": "a", "logprob": float("-inf")},))
    strand, text = answer.strand_of(weighed)
    told = json.loads(strand.frame(1, text), parse_constant=_refused)
    assert told["logprobs"] == [{"token": "a", "logprob": None}]


def test_a_count_is_never_more_than_what_accounting_can_keep() -> None:
    assert count(10**30) < 2**63


class _Loading:
    """A server that has one model, and counts what is loaded."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def models(self) -> tuple[ModelInfo, ...]:
        return (ModelInfo(id="ollama/qwen3:latest", pool="ollama", context_tokens=1, owned_by="ollama"),)

    async def prepare(self, model_id: str) -> bool:
        self.asked.append(model_id)
        return True


async def test_a_model_that_is_named_without_its_tag_is_kept_loaded_too(ollama_fake: OllamaFake) -> None:
    served = _Loading()
    async with open_library(OllamaOptions(url=ollama_fake.url)) as library:
        residents = ResidentModels(served, library, ["qwen3"], period_s=60)
        await residents.look()
        assert served.asked == ["ollama/qwen3:latest"]
        ollama_fake.loaded["qwen3:latest"] = "30m"
        await residents.look()
    assert served.asked == ["ollama/qwen3:latest"]
