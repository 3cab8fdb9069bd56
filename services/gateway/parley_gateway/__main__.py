"""The gateway: `python -m parley_gateway`."""

from parley_identity import open_claims
from parley_identity.revocation_board import open_board
from parley_messaging import Service, run_service
from parley_messaging.probes import serving

from parley_gateway.app import create_app
from parley_gateway.edge import Edge
from parley_gateway.handlers import Submissions, bind
from parley_gateway.identities import Identities
from parley_gateway.identity import Doorkeeper, Secrets
from parley_gateway.ids import OwnedIds
from parley_gateway.login_codes import LoginCodes
from parley_gateway.metrics import export, export_connections
from parley_gateway.origins import Origins, read_origins
from parley_gateway.outstaying import Outstaying
from parley_gateway.server import connection_guard, create_server, read_certificate
from parley_gateway.settings import GatewaySettings
from parley_gateway.shared_buckets import enter_limits
from parley_gateway.sites import Sites
from parley_gateway.sockets import Sockets
from parley_gateway.stored_files import open_stored_files
from parley_gateway.turn_parts import TurnParts


async def compose(service: Service, settings: GatewaySettings) -> None:
    secrets = Secrets.read(settings.secrets_path)
    limits = await enter_limits(service, settings)
    files = open_stored_files(service.bus)
    turns = TurnParts(
        service.bus,
        home=settings.instance,
        ids=OwnedIds(secrets.turn_key),
        settings=settings,
        circuits=service.circuits,
        limits=limits,
        originals=files[0],
    )
    export(service, turns)
    await turns.start()
    await service.enter(turns.counts.finishing())
    for endless in turns.endless:
        service.spawn(endless)
    bind(service, turns.runner, Submissions(turns.door), turns.erasure, slots=settings.gateway_runner_slots)
    sockets = Sockets()
    board = await service.enter(open_board(settings.redis_url, settings.revocations_redis_url))
    identities = Identities(service.bus, board, limits.look_up)
    identities.revoked.on_revoked(sockets.expel)
    service.spawn(Outstaying(sockets, identities).run)
    await identities.start()
    for endless in identities.endless:
        service.spawn(endless)
    doorkeeper = Doorkeeper(
        identities,
        secrets,
        session_s=settings.gateway_session_days * 86_400,
        origins=Origins(read_origins(settings.gateway_origins)),
    )
    codes = LoginCodes(settings.secrets_path)
    sites = Sites.signed_by(
        secrets.turn_key, service.bus, lasts_s=settings.gateway_visitor_hours * 3600, turns=turns
    )
    await sites.bots.start()
    service.spawn(sites.forgotten.run)
    identities.revoked.on_revoked(sites.bots.forget_owner)
    edge = Edge(
        service, settings, doorkeeper, turns.models, turns.door, turns.stopper, sockets, codes, sites, *files
    )
    guard = connection_guard(settings)
    export_connections(service, guard.connections)
    certificate = read_certificate(settings)
    if certificate:
        service.spawn(certificate.watch)
    await service.enter(serving(create_server(create_app(edge), settings, guard, certificate)))

    async def let_turns_end() -> None:
        turns.door.is_closed = True
        await sockets.finish()

    service.on_stop(let_turns_end)


def main() -> None:
    run_service("gateway", GatewaySettings, compose, claims=open_claims)


if __name__ == "__main__":
    main()
