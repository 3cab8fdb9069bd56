"""What a client asks for, made into the command that a runner goes by."""

from collections.abc import Mapping, Sequence

from parley_contracts.client_frames import StartTurnFrame
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turns import ChatMessage, ModelLink, StartTurn, TurnRef
from parley_messaging.message_headers import now_ms

from parley_gateway.ids import OwnedIds, is_just_made
from parley_gateway.inline_files import InlineFile
from parley_gateway.model_choice import ModelChoice
from parley_gateway.principal import Principal
from parley_gateway.sent_files import SentFiles

NO_FILES: Mapping[str, InlineFile] = {}


class TurnCommands:
    """Makes the commands of turns that begin on the gateway `home` and may take `turn_s`."""

    def __init__(
        self, *, ids: OwnedIds, home: str, choice: ModelChoice, files: SentFiles, turn_s: float
    ) -> None:
        self._ids = ids
        self._home = home
        self._choice = choice
        self._files = files
        self._turn_s = turn_s

    def turn_id(self, principal: Principal, client_turn_id: str) -> str:
        """Return the id on the bus of a turn that is, or would be, this owner's."""
        return self._ids.turn_id(principal.owner_id, client_turn_id)

    def ref(self, principal: Principal, client_turn_id: str) -> TurnRef:
        """Return how an owner's turn is named on the bus."""
        return TurnRef(
            turn_id=self.turn_id(principal, client_turn_id),
            client_turn_id=client_turn_id,
            owner_id=principal.owner_id,
            home=self._home,
        )

    def made(
        self,
        principal: Principal,
        ref: TurnRef,
        frame: StartTurnFrame,
        *,
        history: tuple[ChatMessage, ...] | None,
        is_stored: bool,
    ) -> StartTurn:
        """Return the command of a frame, which knows neither its model nor its files yet.

        Raises:
            ParleyError: `not_found` for the conversation of somebody else.
        """
        accepted_at_ms = now_ms()
        return StartTurn(
            turn=ref,
            conversation_id=self._conversation(principal, frame, ref),
            continues_conversation=frame.conversation_id is not None,
            text=frame.text,
            attachments=tuple(dict.fromkeys(frame.attachments)),
            history=history,
            collections=frame.collections,
            web=frame.web,
            named_tools=tuple(dict.fromkeys(frame.tools)),
            model=frame.model,
            models=frame.models,
            params=frame.params,
            uses_cache=frame.cache,
            is_stored=is_stored,
            is_fresh=frame.turn_id is None or is_just_made(frame.turn_id, accepted_at_ms),
            accepted_at_ms=accepted_at_ms,
            deadline_ms=accepted_at_ms + int(self._turn_s * 1000),
        )

    def pool(self, links: Sequence[ModelLink]) -> str | None:
        """Return the pool that a turn would wait for, as far as the models are known."""
        return self._choice.pool(links)

    async def equipped(
        self, command: StartTurn, links: Sequence[ModelLink], given: Mapping[str, InlineFile] = NO_FILES
    ) -> StartTurn:
        """Return a command with its models as they are there now, and with its files; `given` came with it.

        Raises:
            ParleyError: As `SentFiles.find`, `ModelChoice.choose` and `SentFiles.keep_all` do.
        """
        found = await self._files.find(command, given)
        command = await self._choice.choose(command, links, image_field=found.image_field)
        return await self._files.keep_all(command, found)

    def _conversation(self, principal: Principal, frame: StartTurnFrame, ref: TurnRef) -> str:
        if frame.conversation_id is None:
            return self._ids.new_conversation_id(principal.owner_id, seed=ref.turn_id)
        if not self._ids.owns_conversation(principal.owner_id, frame.conversation_id):
            raise ParleyError(ErrorCode.NOT_FOUND, "There is no such conversation.", field="conversation_id")
        return frame.conversation_id
