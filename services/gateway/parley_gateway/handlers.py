"""What the gateway works on and answers on the bus: turns off the TURNS queue, and who asks for one."""

from parley_contracts import subjects
from parley_contracts.claims import Acting
from parley_contracts.client_frames import StartTurnFrame
from parley_contracts.data_rights import EraseUser
from parley_contracts.policy import Role
from parley_contracts.subject_permissions import OUTSIDE_SCOPES
from parley_contracts.submissions import SubmitTurn, TurnSubmitted
from parley_messaging import Service
from parley_messaging.acting import current_acting
from parley_messaging.queues import TURNS
from parley_messaging.trace_context import current

from parley_gateway.principal import Principal
from parley_gateway.turn_door import TurnDoor
from parley_gateway.turn_erasure import TurnErasure
from parley_gateway.turn_runner import TurnRunner


class Submissions:
    """Starts turns for outside services, which follow them on the bus themselves."""

    def __init__(self, door: TurnDoor) -> None:
        self._door = door

    async def submit(self, request: SubmitTurn) -> TurnSubmitted:
        """Start a turn whose events go to whoever asks: the bus lets each user ask on its own subject."""
        context = current()
        home = subjects.parse_turn_submit(context.subject if context else "")
        frame = StartTurnFrame(
            type="start_turn",
            turn_id=request.turn_id,
            conversation_id=request.conversation_id,
            text=request.text,
            collections=request.collections,
            web=request.web,
            tools=request.tools,
            model=request.model,
            params=request.params,
        )
        acting = current_acting() or Acting(request.owner_id, Role.MEMBER, OUTSIDE_SCOPES)
        principal = Principal(acting.owner_id, acting.role, acting.scopes, granted=acting.granted)
        command = await self._door.submit(principal, frame, home)
        return TurnSubmitted(turn=command.turn, conversation_id=command.conversation_id)


def bind(
    service: Service, runner: TurnRunner, submissions: Submissions, erasure: TurnErasure, *, slots: int
) -> None:
    """Run turns, whichever gateway accepted them, and answer who asks for one, or for their erasure."""
    service.answer(subjects.TURN_ERASE_USER, EraseUser, erasure.erase, concurrency=2)
    service.answer(subjects.ALL_SUBMITS, SubmitTurn, submissions.submit)
    service.work_raw(TURNS, runner.work, slots=slots)
