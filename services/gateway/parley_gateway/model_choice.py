"""Which model of a chain a turn is given first, and which follow it: by health, ability and load."""

from collections.abc import Sequence

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import Capability, ModelInfo
from parley_contracts.turns import ModelLink, StartTurn

from parley_gateway.admission import Admission
from parley_gateway.models import FALLBACK, Models, chosen_of


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

    async def choose(
        self, command: StartTurn, chain: Sequence[ModelLink], *, image_field: str | None = None
    ) -> StartTurn:
        """Return the command with its models as they are there now: the runner goes by them.

        What is accepted does not fail because a model is away for a moment. `image_field` is where images
        are named: then it is given to none that is not known to see.

        Raises:
            ParleyError: `model_not_found` when there is none of the models (`unavailable` where a bot names
                them), `invalid_request` when none of them sees, `unavailable` when nobody can tell.
        """
        if not chain:
            info = await self._models.choose(None)
            if image_field is not None and not _sees(info):
                raise _sees_nothing(info, image_field)
            return command.model_copy(update={"chosen": chosen_of(info)})
        listed = [found for link in chain if (found := await self._find(link)) is not None]
        if not listed:
            raise _none_of(command, chain)
        if image_field is not None:
            seeing = [found for found in listed if _sees(found[1])]
            if not seeing:
                raise _sees_nothing(listed[0][1], image_field)
            listed = seeing
        needed = needs_of(command)
        able = [found for found in listed if not _lacks(found[1], needed)]
        by_load = sorted(able or listed, key=lambda found: not self._admission.has_room(found[1].pool))
        (first, info), *others = by_load
        changed = {
            "chosen": chosen_of(info),
            "params": first.params or command.params,
            "fallbacks": tuple(
                link.model_copy(update={"context_tokens": other.context_tokens, "sees_images": _sees(other)})
                for link, other in others
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
    """Return what a model has to be able to for a turn, beside seeing."""
    params = command.params
    needed: set[Capability] = set()
    if (command.tools or command.named_tools) and params.tool_choice != "none":
        needed.add("tools")
    if params.response_format is not None:
        needed.add("json")
    return frozenset(needed)


def _lacks(info: ModelInfo, needed: frozenset[Capability]) -> bool:
    """Return whether a model is known to be unable; one of which nothing is told may well be able."""
    is_told = bool(info.capabilities) or info.id == FALLBACK.id
    return is_told and not needed <= set(info.capabilities)


def _sees(info: ModelInfo) -> bool:
    return "vision" in info.capabilities


def _sees_nothing(info: ModelInfo, field: str) -> ParleyError:
    message = f"{field}: the model {info.id} cannot be shown images."
    return ParleyError(ErrorCode.INVALID_REQUEST, message, field=field)


def _none_of(command: StartTurn, chain: Sequence[ModelLink]) -> ParleyError:
    if command.bot is not None:
        return ParleyError(ErrorCode.UNAVAILABLE, "None of the bot's models is there.")
    if len(chain) == 1:
        message = f"There is no model {chain[0].model!r}."
        return ParleyError(ErrorCode.MODEL_NOT_FOUND, message, field="model")
    return ParleyError(ErrorCode.MODEL_NOT_FOUND, "There is none of these models.", field="models")
