"""An answer is remembered only where it has read all that it was to read."""

from collections.abc import AsyncGenerator

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import GenerateJob, ModelInfo
from parley_contracts.turns import ChatMessage, GenerationParams, TokenUsage
from parley_llm.answer_cache import AnswerCache, CacheMeter
from parley_llm.answer_store import MemoryAnswers
from parley_llm.catalogue import Catalogue
from parley_llm.file_reading import FileReader, FileReadingModel
from parley_llm.language_model import Chunk, FinalChunk, TextChunk
from parley_llm.model_chain import ModelChain
from prometheus_client import CollectorRegistry

from tests.unit.llm.jobs import TEXT, job_for, text_of


class _Echo:
    """A model that repeats what it reads."""

    pool = "echo"
    can_continue = False

    def serves(self, model_id: str) -> bool:
        return model_id == "echo"

    async def models(self) -> tuple[ModelInfo, ...]:
        return ()

    async def generate(self, job: GenerateJob, *, written: str = "") -> AsyncGenerator[Chunk, None]:
        yield TextChunk(job.messages[-1].content)
        yield FinalChunk(TokenUsage(prompt_tokens=1, completion_tokens=1), "stop")


class _Files:
    """A store of files that has lost one, for a while."""

    is_there = False

    async def get(self, owner_id: str, document_id: str, sha256: str, *, is_sealed: bool) -> bytes:
        if not self.is_there:
            raise ParleyError(ErrorCode.INTERNAL, "it cannot be opened")
        return b"The kettle is red."


async def test_an_answer_without_a_file_that_could_not_be_opened_is_not_remembered_as_one_with_it() -> None:
    files = _Files()
    cache = AnswerCache(MemoryAnswers(60), CacheMeter(CollectorRegistry()), {"echo": "s"})
    catalogue = Catalogue([FileReadingModel(_Echo(), FileReader(files))], answers=cache)
    said = ChatMessage(role="user", content="What colour?", attachments=(TEXT.id,))
    update = {"messages": (said,), "attachments": (TEXT,), "uses_cache": True}
    job = job_for("echo", params=GenerationParams(temperature=0)).model_copy(update=update)

    async def answered() -> str:
        return text_of([chunk async for chunk in ModelChain(catalogue, job).generate()])

    assert "not there any more" in await answered()
    files.is_there = True
    assert "not there any more" not in await answered()
