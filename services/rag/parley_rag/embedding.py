"""Vectors of texts, asked from the npu service."""

from dataclasses import dataclass
from typing import Protocol, TypeVar

from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.model import WireModel
from parley_contracts.npu import Embed, Embeddings, VectorSpace

_FLOAT_BYTES = 4
Reply = TypeVar("Reply", bound=WireModel)


class Requests(Protocol):
    """The part of the bus that asks other services."""

    async def request(
        self, subject: str, request: WireModel, reply_type: type[Reply], *, timeout_s: float
    ) -> Reply: ...


@dataclass(frozen=True, slots=True)
class Vectors:
    """Vectors in the order of their texts, each little-endian float32."""

    space: VectorSpace
    rows: tuple[bytes, ...]


class Embedder:
    """Asks the npu service for vectors."""

    def __init__(self, bus: Requests) -> None:
        self._bus = bus

    async def embed(self, texts: tuple[str, ...], timeout_s: float) -> Vectors:
        """Return the vectors of texts; ParleyError when npu is away, late or answers nonsense."""
        reply = await self._bus.request(
            subjects.NPU_EMBED, Embed(texts=texts), Embeddings, timeout_s=timeout_s
        )
        size = reply.dimensions * _FLOAT_BYTES
        if size <= 0 or len(reply.vectors) != size * len(texts):
            raise ParleyError(
                ErrorCode.UPSTREAM_FAILED, "The embedding service answered with the wrong size."
            )
        rows = tuple(reply.vectors[at : at + size] for at in range(0, len(reply.vectors), size))
        return Vectors(reply.space, rows)
