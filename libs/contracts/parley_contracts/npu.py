"""Small-model inference: embeddings."""

from typing import Literal

from pydantic import Field

from parley_contracts.model import WireModel

MAX_TEXTS = 256


class Embed(WireModel):
    """Request: vectors of texts. Each is cut at the model's window (256 of its tokens)."""

    type: Literal["embed"] = "embed"
    texts: tuple[str, ...] = Field(min_length=1, max_length=MAX_TEXTS)


class Embeddings(WireModel):
    """L2-normalised vectors in the order of the texts."""

    type: Literal["embeddings"] = "embeddings"
    model: str
    engine: str = Field(description="Engine and precision, such as `onnx-fp32`; indexes never mix engines.")
    dimensions: int
    vectors: bytes = Field(
        description="Row after row of little-endian float32, base64: texts x dimensions x 4 bytes."
    )
