"""The OpenAI-compatible embeddings: texts in, vectors out, as JSON numbers or base64."""

import base64
import struct
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.npu import MAX_TEXTS, Embed, Embeddings
from parley_contracts.turns import TokenUsage
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from parley_gateway.edge import CurrentEdge, CurrentPrincipal

router = APIRouter(prefix="/v1", tags=["OpenAI-compatible"])

EMBED_S = 30.0
FLOAT_BYTES = 4
WINDOW_TOKENS = 256
"""The model's window: more of a text is not read, and not counted."""

Text = Annotated[str, Field(min_length=1, max_length=100_000)]
_TEXT = {"type": "string", "minLength": 1, "maxLength": 100_000}
_TEXTS = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MAX_TEXTS}]}


class EmbeddingRequest(BaseModel):
    """What is understood of OpenAI's request; texts only, for another model's tokens mean nothing here."""

    model_config = ConfigDict(extra="ignore")

    model: str
    input: Annotated[
        list[Text],
        BeforeValidator(lambda given: [given] if isinstance(given, str) else given),
        Field(min_length=1, max_length=MAX_TEXTS),
        WithJsonSchema(_TEXTS),
    ]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1)


@router.post("/embeddings")
async def create_embeddings(
    body: EmbeddingRequest, edge: CurrentEdge, principal: CurrentPrincipal
) -> dict[str, Any]:
    """Return the vectors of texts, in their order."""
    found = await edge.bus.request(
        subjects.NPU_EMBED, Embed(texts=tuple(body.input)), Embeddings, timeout_s=EMBED_S
    )
    if body.model != found.model:
        message = f"There is no embedding model {body.model!r}; there is {found.model!r}."
        raise ParleyError(ErrorCode.MODEL_NOT_FOUND, message, field="model")
    if body.dimensions not in (None, found.dimensions):
        message = f"The vectors have {found.dimensions} dimensions, and are not cut."
        raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="dimensions")
    size = found.dimensions * FLOAT_BYTES
    rows = (found.vectors[at : at + size] for at in range(0, len(found.vectors), size))
    tokens = sum(_count_tokens(text) for text in body.input)
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _encoded(row, body.encoding_format)}
            for index, row in enumerate(rows)
        ],
        "model": found.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _encoded(row: bytes, encoding: str) -> str | list[float]:
    if encoding == "base64":
        return base64.b64encode(row).decode()
    return list(struct.unpack(f"<{len(row) // FLOAT_BYTES}f", row))


def _count_tokens(text: str) -> int:
    """Return about how many tokens of a text were read; the model's own count stays with npu."""
    return min(WINDOW_TOKENS, TokenUsage.guessed(len(text), 0).prompt_tokens)
