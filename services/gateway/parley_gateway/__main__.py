"""The gateway: `python -m parley_gateway`."""

import uvicorn
from parley_contracts.turns import PenRole
from parley_messaging import Service, run_service
from parley_messaging.holds import Holds
from parley_messaging.pen import Pen
from parley_messaging.probes import EmbeddedServer, serving
from parley_messaging.stops import Stops
from parley_messaging.turn_watch import TurnWatches
from parley_messaging.turn_writer import TurnWriters

from parley_gateway.app import create_app
from parley_gateway.edge import Edge
from parley_gateway.gathering import Gathering
from parley_gateway.handlers import bind
from parley_gateway.identity import Doorkeeper, Secrets
from parley_gateway.ids import OwnedIds
from parley_gateway.models import Models
from parley_gateway.question_keeper import QuestionKeeper
from parley_gateway.settings import GatewaySettings
from parley_gateway.sockets import Sockets
from parley_gateway.turn_door import TurnDoor
from parley_gateway.turn_ending import TurnEnding
from parley_gateway.turn_runner import TurnRunner
from parley_gateway.turn_stopper import TurnStopper


async def compose(service: Service, settings: GatewaySettings) -> None:
    bus, home = service.bus, settings.instance
    secrets = Secrets.read(settings.secrets_path)
    pen, models, sockets = Pen(bus), Models(bus), Sockets()
    writers, watches = TurnWriters(bus), TurnWatches(bus, home)
    holds, stops = Holds(bus, home, PenRole.RUNNER), Stops(bus)
    ending, questions = TurnEnding(bus, pen, writers), QuestionKeeper(bus)
    stopper = TurnStopper(bus, pen, watches, ending)
    door = TurnDoor(
        bus,
        ids=OwnedIds(secrets.turn_key),
        watches=watches,
        pen=pen,
        models=models,
        turn_s=settings.gateway_turn_s,
    )
    runner = TurnRunner(
        bus,
        holder=home,
        holds=holds,
        pen=pen,
        writers=writers,
        watches=watches,
        stops=stops,
        models=models,
        gathering=Gathering(bus, settings),
        ending=ending,
        questions=questions,
    )
    for part in (writers, watches, holds, stops):
        await part.start()
    for endless in (writers, watches, stopper, questions):
        service.spawn(endless.run)
    bind(service, runner, slots=settings.gateway_runner_slots)
    doorkeeper = Doorkeeper(secrets, session_s=settings.gateway_session_days * 86_400)
    edge = Edge(service, settings, doorkeeper, models, door, stopper, sockets)
    server = EmbeddedServer(
        uvicorn.Config(
            create_app(edge),
            host=settings.host,
            port=settings.port,
            ws="wsproto",
            ws_max_size=settings.gateway_max_frame_bytes,
            ws_per_message_deflate=False,
            log_config=None,
            access_log=False,
            lifespan="off",
        )
    )
    await service.enter(serving(server))

    async def let_turns_end() -> None:
        door.is_closed = True
        await sockets.finish()

    service.on_stop(let_turns_end)


def main() -> None:
    run_service("gateway", GatewaySettings, compose)


if __name__ == "__main__":
    main()
