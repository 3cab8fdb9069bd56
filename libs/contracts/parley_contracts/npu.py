"""Small-model inference: embeddings, text recognition, reranking."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from parley_contracts.model import WireModel

MAX_TEXTS = 256
MAX_RERANKED = 100
MAX_IMAGE_BYTES = 5 << 20


@dataclass(frozen=True, slots=True)
class VectorSpace:
    """What makes vectors comparable: the model, and the engine and precision that define its vectors."""

    model: str
    engine: str
    dimensions: int


class Embed(WireModel):
    """Request: vectors of texts. Each is cut at the model's window (256 of its tokens)."""

    type: Literal["embed"] = "embed"
    texts: tuple[str, ...] = Field(min_length=1, max_length=MAX_TEXTS)


class Embeddings(WireModel):
    """L2-normalised vectors in the order of the texts."""

    type: Literal["embeddings"] = "embeddings"
    model: str
    engine: str = Field(
        description="The vectors' space by the engine and precision that define it, such as `onnx-fp32`;"
        " indexes never mix spaces."
    )
    computed_by: str | None = Field(
        default=None,
        description="The backends that computed them, by commas; each is proven to give the same vectors."
        " `cache` stands for those that were remembered.",
    )
    dimensions: int
    vectors: bytes = Field(
        description="Row after row of little-endian float32, base64: texts x dimensions x 4 bytes."
    )

    @property
    def space(self) -> VectorSpace:
        """What the vectors can be compared with."""
        return VectorSpace(self.model, self.engine, self.dimensions)


class Recognise(WireModel):
    """Request: the text on a picture of a page; `unavailable` where nothing that reads them is installed."""

    type: Literal["recognise"] = "recognise"
    image: bytes = Field(max_length=MAX_IMAGE_BYTES, description="PNG or JPEG, base64.")
    languages: tuple[str, ...] = Field(
        default=("eng",), min_length=1, max_length=8, description="ISO 639-3 codes, the likeliest first."
    )


class RecognisedText(WireModel):
    """What stands on a picture, line by line; empty when there is no text on it."""

    type: Literal["recognised_text"] = "recognised_text"
    text: str
    engine: str


class Rerank(WireModel):
    """Request: how well each text answers a query; `unavailable` when no reranker is configured."""

    type: Literal["rerank"] = "rerank"
    query: str = Field(min_length=1, max_length=10_000)
    texts: tuple[str, ...] = Field(min_length=1, max_length=MAX_RERANKED)


class RerankScores(WireModel):
    """Scores in the order of the texts; higher is better, comparable within one request only."""

    type: Literal["rerank_scores"] = "rerank_scores"
    model: str
    scores: tuple[float, ...]
