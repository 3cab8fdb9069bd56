"""Which model of a chain a turn is given first, and which follow it: by health, ability and load."""

from collections.abc import Sequence

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import Capability, ModelInfo
from parley_contracts.turns import ChosenModel, ModelLink, StartTurn

from parley_gateway.admission import Admission
from parley_gateway.models import FALLBACK, Models


class ModelChoice:
    """Goes by what the language-model service tells of its models, and by the queues of their pools."""

    def __init__(self, models: Models, admission: Admission) -> None:
        self._models = models
        self._admission = admission

    def pool(self, chain: Sequence[ModelLink]) -> str | None:
        """Return the pool that a turn would wait for: the first with room, as far as the models are known."""
        pools = [self._models.known_pool(link.model) for link in chain]
        if not pools:
            return self._models.known_pool(None)
        return next((pool for pool in pools if self._admission.has_room(pool)), pools[0])

    async def choose(self, command: StartTurn, chain: Sequence[ModelLink]) -> StartTurn:
        """Return the command with its models as they are there now: the runner goes by them.

        What is accepted does not fail because a model is away for a moment.

        Raises:
            ParleyError: `model_not_found` when there is none of the models (`unavailable` where a bot names
                them), `unavailable` when nobody can tell.
        """
        if not chain:
            return command.model_copy(update={"chosen": _chosen(await self._models.choose(None))})
        listed = [found for link in chain if (found := await self._find(link)) is not None]
        if not listed:
            raise _none_of(command, chain)
        needed = needs_of(command)
        able = [found for found in listed if not _lacks(found[1], needed)]
        by_load = sorted(able or listed, key=lambda found: not self._admission.has_room(found[1].pool))
        (first, info), *others = by_load
        changed = {
            "chosen": _chosen(info),
            "params": first.params or command.params,
            "fallbacks": tuple(
                link.model_copy(update={"context_tokens": other.context_tokens}) for link, other in others
            ),
        }
        return command.model_copy(update=changed)

    async def _find(self, link: ModelLink) -> tuple[ModelLink, ModelInfo] | None:
        try:
            return link, await self._models.choose(link.model)
        except ParleyError as error:
            if error.code is not ErrorCode.MODEL_NOT_FOUND:
                raise
            return None


def asked_chain(model: str | None, models: Sequence[str]) -> tuple[ModelLink, ...]:
    """Return the chain that a client has named: each model once."""
    named = models if model is None else (model, *models)
    return tuple(ModelLink(model=name) for name in dict.fromkeys(named))


def going_on_with(chain: Sequence[ModelLink], earlier: str | None) -> tuple[ModelLink, tuple[ModelLink, ...]]:
    """Return who is asked next, and who follows: who wrote the round before goes on."""
    names = [link.model for link in chain]
    at = names.index(earlier) if earlier in names else 0
    return chain[at], tuple(chain[at + 1 :])


def needs_of(command: StartTurn) -> frozenset[Capability]:
    """Return what a model has to be able to for a turn."""
    params = command.params
    needed: set[Capability] = set()
    if (command.tools or command.named_tools) and params.tool_choice != "none":
        needed.add("tools")
    if params.response_format is not None:
        needed.add("json")
    if any(message.attachments for message in (*(command.history or ()), *command.continuation)):
        needed.add("vision")
    return frozenset(needed)


def _lacks(info: ModelInfo, needed: frozenset[Capability]) -> bool:
    """Return whether a model is known to be unable; one of which nothing is told may well be able."""
    is_told = bool(info.capabilities) or info.id == FALLBACK.id
    return is_told and not needed <= set(info.capabilities)


def _chosen(info: ModelInfo) -> ChosenModel:
    return ChosenModel(id=info.id, pool=info.pool, context_tokens=info.context_tokens)


def _none_of(command: StartTurn, chain: Sequence[ModelLink]) -> ParleyError:
    if command.bot is not None:
        return ParleyError(ErrorCode.UNAVAILABLE, "None of the bot's models is there.")
    if len(chain) == 1:
        message = f"There is no model {chain[0].model!r}."
        return ParleyError(ErrorCode.MODEL_NOT_FOUND, message, field="model")
    return ParleyError(ErrorCode.MODEL_NOT_FOUND, "There is none of these models.", field="models")
