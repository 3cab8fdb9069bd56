"""Generation: the job a runner gives to a language-model worker, and the catalogue of models."""

from typing import Literal

from pydantic import Field

from parley_contracts.attachments import SentAttachment
from parley_contracts.citations import Citation
from parley_contracts.model import SubjectPart, WireModel
from parley_contracts.tools import ToolSpec
from parley_contracts.turns import (
    MAX_MODELS,
    ChatMessage,
    GenerationParams,
    ModelLink,
    StartTurn,
    TurnRef,
)


class GenerateJob(WireModel):
    """Command on LLM_JOBS: write the answer of a turn."""

    type: Literal["generate_job"] = "generate_job"
    turn: TurnRef
    base_slot: int = Field(
        ge=0,
        description="The runner's pen slot; the worker claims the one after it. 0 is none: nothing had to be "
        "gathered, and the worker's claim is the turn's first.",
    )
    last_seq: int = Field(
        default=0,
        ge=0,
        description="The runner's last event, which the answer follows; 0 is none, and the worker writes "
        "`context_ready` itself.",
    )
    model: str
    fallbacks: tuple[ModelLink, ...] = Field(
        default=(),
        max_length=MAX_MODELS,
        description="Asked in this order, while nothing is written, where `model` fails.",
    )
    messages: tuple[ChatMessage, ...] = Field(description="System prompt, history, question, in order.")
    question: str = Field(description="The user's words alone, for models that quote instead of write.")
    attachments: tuple[SentAttachment, ...] = Field(
        default=(), description="What the messages name: the worker reads it, the bus does not carry it."
    )
    citations: tuple[Citation, ...] = Field(default=(), description="Numbered passages in the prompt.")
    degraded: tuple[str, ...] = Field(
        default=(), description="Parts that were away or late while the prompt was gathered."
    )
    params: GenerationParams = GenerationParams()
    uses_cache: bool = Field(default=False, description="The answer may be one that was given before.")
    tools: tuple[ToolSpec, ...] = Field(default=(), description="What the model may call.")
    run_by_parley: tuple[str, ...] = Field(
        default=(),
        description="Of these tools: those that Parley runs, whose pieces no viewer is told of.",
    )
    rounds: int = Field(default=0, ge=0, description="How often tools of Parley were called in the turn.")
    kept_text: str = Field(
        default="", description="The answer so far, of generations that ended with calls of tools: it stays."
    )
    deadline_ms: int
    command: StartTurn | None = Field(
        default=None, description="The turn itself, for the worker's claim when that is the first."
    )


Capability = Literal["tools", "vision", "json", "reasoning"]


class ModelPrice(WireModel):
    """What a million tokens cost, in the currency of the operator's prices; None is unknown."""

    prompt: float | None = Field(default=None, ge=0)
    cached: float | None = Field(default=None, ge=0, description="Of the prompt: what was in a cache.")
    completion: float | None = Field(default=None, ge=0)


class ModelInfo(WireModel):
    """A model somebody may choose."""

    id: str = Field(description="What clients name, such as `extractive` or `ollama/llama3.2:1b`.")
    pool: SubjectPart = Field(description="The worker pool that serves it.")
    context_tokens: int = Field(ge=1, description="Prompt and answer together.")
    owned_by: str
    created_at_s: int = 0
    capabilities: tuple[Capability, ...] = Field(default=(), description="What it is known to be able to.")
    price: ModelPrice | None = None
    version: str = Field(
        default="", description="Its very weights, such as a digest, where the server tells."
    )


class ListModels(WireModel):
    """Request: which models can be reached now?"""

    type: Literal["list_models"] = "list_models"


class ModelList(WireModel):
    """The reachable models, the default first."""

    type: Literal["model_list"] = "model_list"
    models: tuple[ModelInfo, ...]
