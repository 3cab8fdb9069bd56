"""Generate jobs for tests."""

from parley_contracts.attachments import SentAttachment
from parley_contracts.citations import Citation
from parley_contracts.llm import GenerateJob
from parley_contracts.turns import ChatMessage, GenerationParams, TurnRef
from parley_llm.language_model import Chunk, FinalChunk, TextChunk


def job_for(
    model: str,
    question: str = "How do I descale the kettle?",
    *,
    citations: tuple[Citation, ...] = (),
    params: GenerationParams | None = None,
) -> GenerateJob:
    """Return a job that asks one question."""
    return GenerateJob(
        turn=TurnRef(turn_id="t1", client_turn_id="c1", owner_id="o1", home="h1"),
        base_slot=1,
        model=model,
        messages=(
            ChatMessage(role="system", content="Be brief."),
            ChatMessage(role="user", content=question),
        ),
        question=question,
        citations=citations,
        params=params or GenerationParams(),
        deadline_ms=0,
    )


IMAGE = SentAttachment(
    id="1" * 32,
    object_id="2" * 32,
    name="kettle.png",
    content_type="image/png",
    size_bytes=9,
    sha256="3" * 64,
)
TEXT = IMAGE.model_copy(
    update={"id": "4" * 32, "name": "kettle.txt", "content_type": "text/plain", "max_chars": 9}
)


def text_of(chunks: list[Chunk]) -> str:
    """Return the text that chunks carry."""
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextChunk))


def final_of(chunks: list[Chunk]) -> FinalChunk:
    """Return the last chunk, which is the only final one."""
    finals = [chunk for chunk in chunks if isinstance(chunk, FinalChunk)]
    assert finals == [chunks[-1]]
    return finals[0]
