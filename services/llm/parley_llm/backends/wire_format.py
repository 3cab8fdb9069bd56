"""What sets one kind of model server apart from another: how it is asked, and how it answers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from parley_contracts.llm import Capability, GenerateJob, ModelPrice
from parley_contracts.turns import TokenUsage

from parley_llm.backends.server_errors import Refusal
from parley_llm.language_model import FinishReason, Piece

if TYPE_CHECKING:
    from parley_llm.backends.server_client import ServerClient


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model that a server has and that writes answers; `price` is what the server tells of it."""

    name: str
    context_tokens: int
    owned_by: str
    created_at_s: int = 0
    capabilities: tuple[Capability, ...] = ()
    price: ModelPrice | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What is posted for an answer; the path is relative to the server's URL."""

    path: str
    body: Mapping[str, Any]


class AnswerDecoder(Protocol):
    """Reads one streamed answer. Raises ParleyError for the server's errors, ValueError and its like else."""

    @property
    def ending(self) -> FinishReason | None:
        """How the answer has ended; None while it has not."""
        ...

    @property
    def usage(self) -> TokenUsage:
        """What the answer has cost, as far as it was told."""
        ...

    def feed(self, received: bytes) -> Iterable[Piece | None]:
        """Yield the pieces that are whole now; None where the model wrote what is not shown."""
        ...

    def close(self) -> Iterable[Piece | None]:
        """Yield what the end of the stream makes whole."""
        ...


class WireFormat(Protocol):
    """One kind of server. It knows no clocks, circuits or connections."""

    @property
    def pool(self) -> str:
        """The worker pool of its models, and the first part of their ids."""
        ...

    @property
    def can_continue(self) -> bool:
        """Whether the server goes on from the assistant's last message."""
        ...

    async def listed(self, server: "ServerClient") -> tuple[ListedModel, ...]:
        """Return the models that the server lists, in its order."""
        ...

    async def request(
        self, server: "ServerClient", model: str, job: GenerateJob, written: str
    ) -> ChatRequest:
        """Return how an answer is asked for."""
        ...

    async def prepare(self, server: "ServerClient", model: str) -> None:
        """Have a server that has come up ready for a model."""
        ...

    def decoder(self, model: str) -> AnswerDecoder:
        """Return what reads an answer of a model."""
        ...

    def refusal(self, status: int, content: bytes) -> Refusal:
        """Return what an answer that is no 200 means."""
        ...
