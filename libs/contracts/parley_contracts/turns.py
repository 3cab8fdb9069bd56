"""Commands and pen records of a turn: how it starts, who may write it, how it ends."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from parley_contracts.attachments import KeptAttachment
from parley_contracts.citations import Citation
from parley_contracts.errors import ErrorBody
from parley_contracts.model import SubjectPart, WireModel
from parley_contracts.response_format import ResponseFormat
from parley_contracts.tools import MAX_TOOLS, ToolCall, ToolChoice, ToolName, ToolSpec

EPOCH_SPAN = 1_000_000
"""seq = epoch x EPOCH_SPAN + i, so that seq grows across takeovers without knowing the last one."""


MAX_TOKENS = 131_072
MAX_STOPS = 4
MAX_TOP_LOGPROBS = 20
MAX_MODELS = 8
"""Of one chain."""

CHARS_A_TOKEN = 4


class TurnRef(WireModel):
    """One turn, wherever it is mentioned."""

    turn_id: SubjectPart = Field(description="On the bus: keyed hash of owner and client_turn_id.")
    client_turn_id: str = Field(description="As the client named it; what its frames carry.")
    owner_id: str
    home: SubjectPart = Field(description="The gateway process that started the turn; a routing word only.")


class ChatMessage(WireModel):
    """One message of a conversation as a model sees it."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = Field(default=(), description="What the assistant called.")
    tool_call_id: str | None = Field(default=None, description="Of a tool's message: the call it answers.")
    attachments: tuple[str, ...] = Field(default=(), description="Ids of what was sent with it.")


ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]
Penalty = Annotated[float, Field(ge=-2, le=2)]


class GenerationParams(WireModel):
    """Sampling parameters; None leaves the model's own default."""

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)
    seed: int | None = None
    stop: tuple[str, ...] = Field(default=(), max_length=MAX_STOPS)
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    reasoning_effort: ReasoningEffort | None = None
    response_format: ResponseFormat | None = None
    tool_choice: ToolChoice | None = Field(
        default=None, description="`auto`, `none`, `required`, or the name of the tool to be called."
    )
    parallel_tool_calls: bool | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=MAX_TOP_LOGPROBS)


class TokenUsage(WireModel):
    """What a generation cost, in the model's own tokens."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = Field(default=0, description="Of the prompt: what the provider had in its cache.")
    reasoning_tokens: int = Field(default=0, description="Of the completion: what was thought, not said.")
    remembered_prompt_tokens: int = Field(
        default=0, description="Of the prompt: what nobody was asked, for Parley remembered the answer."
    )
    remembered_completion_tokens: int = Field(default=0, description="Of the completion: the same.")

    @classmethod
    def guessed(cls, prompt_chars: int, answer_chars: int) -> "TokenUsage":
        """Return about what so many characters are, where no model has counted."""
        return cls(
            prompt_tokens=-(-prompt_chars // CHARS_A_TOKEN),
            completion_tokens=-(-answer_chars // CHARS_A_TOKEN),
        )

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        """Return what two generations have cost together."""
        counts, others = self.model_dump(), other.model_dump()
        return TokenUsage(**{name: counts[name] + others[name] for name in counts})

    @property
    def is_told(self) -> bool:
        """Whether anything was counted."""
        return bool(self.prompt_tokens or self.completion_tokens)


class CallTotals(WireModel):
    """What calls of models cost, and what those took that came to their end."""

    count: int = Field(default=0, ge=0, description="Those that came to their end.")
    cost_micros: int | None = Field(
        default=None, ge=0, description="Of all, by the prices of the list of models; None: one is unknown."
    )
    first_token_ms: int = Field(default=0, ge=0, description="From the request to the first piece.")
    writing_ms: int = Field(default=0, ge=0, description="From the first piece to the end.")

    def __add__(self, other: "CallTotals") -> "CallTotals":
        """Return what two cost and took together."""
        costs = (self.cost_micros, other.cost_micros)
        return CallTotals(
            count=self.count + other.count,
            cost_micros=None if None in costs else sum(cost or 0 for cost in costs),
            first_token_ms=self.first_token_ms + other.first_token_ms,
            writing_ms=self.writing_ms + other.writing_ms,
        )


class ChosenModel(WireModel):
    """The model of a turn, as it was there when the turn was accepted."""

    id: str
    pool: SubjectPart = Field(description="The worker pool that serves it.")
    context_tokens: int = Field(ge=1, description="Prompt and answer together.")
    sees_images: bool = Field(default=False, description="Images may be shown to it.")


class ModelLink(WireModel):
    """A model of a chain, which is asked where those before it do not begin to answer."""

    model: str = Field(min_length=1, max_length=200)
    params: GenerationParams | None = Field(default=None, description="None: those of the turn.")
    context_tokens: int | None = Field(
        default=None, ge=1, description="Prompt and answer together, where it is known."
    )
    sees_images: bool = Field(default=False, description="Images may be shown to it.")


class TurnBot(WireModel):
    """What a turn takes from the bot that a visitor asks, as that was when the turn was accepted."""

    id: str
    version: int
    owner_id: str = Field(description="Whose collections are searched. The turn itself is the visitor's.")
    prompt: str = Field(default="", description="In place of the usual instructions, where there is any.")


class StartTurn(WireModel):
    """Command on the TURNS work queue: run one turn."""

    type: Literal["start_turn"] = "start_turn"
    turn: TurnRef
    conversation_id: str
    continues_conversation: bool = Field(description="False when the turn opens its conversation.")
    text: str = Field(min_length=1)
    history: tuple[ChatMessage, ...] | None = Field(
        default=None, description="Given by callers that keep their own; None reads it from memory."
    )
    attachments: tuple[str, ...] = Field(default=(), description="Ids of what is sent with `text`.")
    kept_attachments: tuple[KeptAttachment, ...] = Field(
        default=(), description="What was found at the door of all that the messages of the turn name."
    )
    continuation: tuple[ChatMessage, ...] = Field(
        default=(),
        description="What was said since `text`: calls of the caller's tools, and their results.",
    )
    tools: tuple[ToolSpec, ...] = Field(
        default=(), max_length=MAX_TOOLS, description="Tools of the caller: who runs them is the caller."
    )
    named_tools: tuple[ToolName, ...] = Field(
        default=(), max_length=MAX_TOOLS, description="Tools that Parley runs, which the model may call."
    )
    collections: tuple[str, ...] | None = Field(
        default=None, description="Names to search; None is all of the owner's, empty is no retrieval."
    )
    web: bool = Field(default=False, description="Read the pages whose addresses the text names.")
    model: str | None = Field(default=None, description="Model id; None is the first of the catalogue.")
    models: tuple[str, ...] = Field(
        default=(), max_length=MAX_MODELS, description="What the client named after `model`, in order."
    )
    chosen: ChosenModel | None = Field(
        default=None, description="What `model` meant at the door; None lets the runner look it up."
    )
    fallbacks: tuple[ModelLink, ...] = Field(
        default=(), max_length=MAX_MODELS, description="Asked in this order where `chosen` does not begin."
    )
    params: GenerationParams = GenerationParams()
    uses_cache: bool = Field(default=False, description="The answer may be one that was given before.")
    bot: TurnBot | None = Field(default=None, description="None: people ask for themselves.")
    is_stored: bool = Field(default=True, description="False keeps the turn out of memory.")
    is_fresh: bool = Field(
        default=False, description="Its id was made just now: it can be no repeat of a turn that has ended."
    )
    accepted_at_ms: int = Field(description="Unix epoch, milliseconds.")
    deadline_ms: int = Field(description="Unix epoch, milliseconds; past it the turn only fails.")

    @property
    def documents_owner_id(self) -> str:
        """Whose documents are searched: a bot's are its owner's, and everything else is the turn's own."""
        return self.turn.owner_id if self.bot is None else self.bot.owner_id


class CancelTurn(WireModel):
    """Stored on `turn.cancel.<turn_id>`."""

    type: Literal["cancel_turn"] = "cancel_turn"
    turn: TurnRef
    cancelled_at_ms: int


class PenRole(StrEnum):
    """Who writes: the turn runner, or a language-model worker."""

    RUNNER = "runner"
    WORKER = "worker"


class PenClaim(WireModel):
    """A pen slot won by a writer: from now on only its epoch may write."""

    type: Literal["pen_claim"] = "pen_claim"
    nonce: str = Field(description="Unique to one attempt, so that a lost ack can be told from a lost race.")
    role: PenRole
    holder: str = Field(description="The process that holds the pen.")
    home: SubjectPart
    command: StartTurn | None = Field(
        default=None,
        description="In the first claim, and every runner's: the turn itself, so that anybody can end it.",
    )


class TurnOutcome(StrEnum):
    """How a turn ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Support(StrEnum):
    """What an answer rests on, of what was looked for."""

    CITED = "cited"
    UNCITED = "uncited"
    NOTHING_FOUND = "nothing_found"


class TurnTimings(WireModel):
    """Where the time went, in milliseconds since the turn was accepted; None did not happen."""

    claimed_ms: float | None = None
    embedded_ms: float | None = None
    retrieved_ms: float | None = None
    history_ms: float | None = None
    web_ms: float | None = None
    context_ready_ms: float | None = None
    first_delta_ms: float | None = None
    generated_ms: float | None = None
    total_ms: float | None = None


class Seal(WireModel):
    """The one ending of a turn. Whoever finds it redoes what is left: store, terminal event, ack."""

    type: Literal["seal"] = "seal"
    nonce: str
    turn: TurnRef
    conversation_id: str
    outcome: TurnOutcome
    user_text: str
    attachments: tuple[str, ...] = Field(default=(), description="Ids of what was sent with `user_text`.")
    text: str = Field(description="The answer as far as it was written.")
    tool_calls: tuple[ToolCall, ...] = Field(default=(), description="Calls of the caller's tools.")
    citations: tuple[Citation, ...] = Field(default=(), description="Only those the answer cites.")
    support: Support | None = Field(default=None, description="None when nothing was searched.")
    model: str | None = None
    usage: TokenUsage = TokenUsage()
    calls: CallTotals = CallTotals()
    finish_reason: str | None = None
    error: ErrorBody | None = None
    degraded: tuple[str, ...] = ()
    timings: TurnTimings = TurnTimings()
    last_seq: int = Field(default=0, ge=0, description="The last event that stands; the ending follows it.")
    is_stored: bool = True
    bot_id: str | None = Field(default=None, description="The bot that a visitor asked.")
    payer_id: str | None = Field(default=None, description="Its owner; None: people pay for themselves.")
    is_confirmed: bool = Field(
        default=True, description="False when the edge sealed it, because nobody answered a stop in time."
    )
    accepted_at_ms: int
    sealed_at_ms: int

    @property
    def home(self) -> str:
        """Where the turn's events stand, as in a claim."""
        return self.turn.home


PenRecord = Annotated[PenClaim | Seal, Field(discriminator="type")]
PEN_RECORD: TypeAdapter[PenClaim | Seal] = TypeAdapter(
    PenRecord, config=ConfigDict(hide_input_in_errors=True)
)


class HoldQuestion(WireModel):
    """Asked on `turn.hold.<turn_id>` by who got a redelivered job: is it still being worked on?"""

    type: Literal["hold_question"] = "hold_question"
    role: PenRole


class HoldAnswer(WireModel):
    """The holder's answer; silence means there is none."""

    type: Literal["hold_answer"] = "hold_answer"
    holder: str
