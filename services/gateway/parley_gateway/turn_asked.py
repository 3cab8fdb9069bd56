"""What is asked of a turn, as far as who asks may."""

from parley_contracts.client_frames import StartTurnFrame
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Permission
from parley_contracts.service_requests import OUR_TOOLS
from parley_contracts.subject_policy import SUBJECTS
from parley_contracts.turns import GenerationParams, StartTurn

from parley_gateway.principal import Principal

_NEEDS = {
    subject.rpartition(".")[2]: need
    for tools in OUR_TOOLS.values()
    for subject in tools
    if isinstance(need := SUBJECTS[subject], Permission)
}
"""What whoever names a tool of ours has to be permitted; one of another team's needs what a turn does."""


def permitted(principal: Principal, frame: StartTurnFrame) -> StartTurnFrame:
    """Return what is asked, without one's documents when they are not asked for and may not be read."""
    if frame.web:
        principal.require(Permission.WEB_USE)
    for name in frame.tools:
        if (need := _NEEDS.get(name)) is not None:
            principal.require(need)
    if frame.collections:
        principal.require(Permission.DOCUMENTS_READ)
    if frame.collections is None and not principal.may(Permission.DOCUMENTS_READ):
        return frame.model_copy(update={"collections": ()})
    return frame


def require_sound(frame: StartTurnFrame) -> None:
    """Raise `invalid_request` for parameters that contradict each other."""
    shape = frame.params.response_format
    if shape is not None and (shape.type == "json_schema") != (shape.json_schema is not None):
        field = "params.response_format.json_schema"
        message = f"{field}: belongs to the type json_schema, which needs one."
        raise ParleyError(ErrorCode.INVALID_REQUEST, message, field=field)
    if frame.params.top_logprobs is not None and not frame.params.logprobs:
        message = "params.top_logprobs: needs logprobs to be true."
        raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="params.top_logprobs")


def as_visitors_may(frame: StartTurnFrame) -> StartTurnFrame:
    """Return what is asked of a bot: its own collections are searched, and nothing is fetched."""
    return frame.model_copy(update={"collections": frame.collections or (), "web": False})


def bare(command: StartTurn) -> str:
    """Return what is needed to end the turn when its body cannot be read, as one line of ASCII."""
    bot = command.bot and command.bot.model_copy(update={"prompt": ""})
    kept = {"text": "-", "history": None, "collections": (), "bot": bot, "is_stored": False}
    kept |= {"attachments": (), "kept_attachments": ()}
    kept |= {"continuation": (), "tools": (), "named_tools": (), "params": GenerationParams()}
    kept |= {"models": (), "fallbacks": ()}
    return command.model_copy(update=kept).model_dump_json(ensure_ascii=True)
