"""The edge as one ASGI application."""

from fastapi import FastAPI
from parley_messaging.service import package_version
from starlette.middleware.cors import CORSMiddleware
from starlette.websockets import WebSocket

from parley_gateway import (
    account_api,
    admin_api,
    admin_data_api,
    attachments_api,
    audit_api,
    auth_api,
    bots_api,
    collections_api,
    conversations_api,
    documents_api,
    embeddings_api,
    feedback_api,
    groups_api,
    health_api,
    keys_api,
    local_models_api,
    notices_api,
    oidc_api,
    openai_api,
    oversight_api,
    pages,
    probes_api,
    search_api,
    services_api,
    session_api,
    shared_bots_api,
    site_chat_api,
    usage_api,
    webhooks_api,
)
from parley_gateway.asked_request import REQUEST_ID
from parley_gateway.audit_door import AuditDoor
from parley_gateway.body_limit import BodyLimit
from parley_gateway.chat_socket import ChatSocket
from parley_gateway.described_app import DescribedApp
from parley_gateway.edge import CurrentEdge, CurrentPrincipal, Edge, is_still
from parley_gateway.forwarded import ForwardedHeaders
from parley_gateway.http_errors import install_error_handlers
from parley_gateway.limit_doors import ASKING, AddressDoor, CallerDoor
from parley_gateway.limits import Kind
from parley_gateway.networks import Networks
from parley_gateway.request_shape import RequestShape
from parley_gateway.security_headers import SecurityHeaders
from parley_gateway.site_door import SiteDoor


async def serve_socket(socket: WebSocket, edge: CurrentEdge, principal: CurrentPrincipal) -> None:
    """Serve one client's WebSocket."""
    await edge.limits.ask(socket.scope[ASKING], principal, Kind.READS)
    await socket.accept()
    chat = ChatSocket(
        socket,
        principal,
        edge.door,
        edge.stopper,
        bots=edge.bot_turns,
        outbox_bytes=edge.settings.gateway_outbox_bytes,
    )
    with edge.sockets.serving(chat):
        if not await is_still(principal, socket):
            # What was revoked while the socket was not open yet has expelled nobody.
            chat.expel()
        await chat.run()


def create_app(edge: Edge) -> FastAPI:
    """Return the application with all its routes."""
    app = DescribedApp(title="Parley", version=package_version("gateway"), docs_url=None, redoc_url=None)
    app.state.edge = edge
    for module in (
        openai_api,
        embeddings_api,
        health_api,
        session_api,
        auth_api,
        oidc_api,
        account_api,
        admin_api,
        audit_api,
        admin_data_api,
        groups_api,
        oversight_api,
        services_api,
        keys_api,
        local_models_api,
        bots_api,
        notices_api,
        webhooks_api,
        shared_bots_api,
        site_chat_api,
        conversations_api,
        attachments_api,
        collections_api,
        documents_api,
        search_api,
        feedback_api,
        usage_api,
        pages,
        probes_api,
    ):
        app.take(module.router)
    app.add_api_websocket_route("/ws", serve_socket)
    pages.mount_files(app)
    install_error_handlers(app)
    app.add_middleware(CallerDoor, limits=edge.limits)
    app.add_middleware(
        BodyLimit,
        doorkeeper=edge.doorkeeper,
        max_upload_bytes=edge.settings.gateway_max_upload_bytes,
        max_attachment_bytes=edge.settings.gateway_max_attachment_bytes,
    )
    _guard(app, edge)
    return app


def _guard(app: FastAPI, edge: Edge) -> None:
    """Add what stands before the routes; what is added last sees a request first."""
    if origins := edge.doorkeeper.origins.allowed:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            # Foreign pages send keys of their own; our cookie is for our pages alone.
            allow_credentials=False,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", REQUEST_ID],
            expose_headers=["Retry-After", "RateLimit", "RateLimit-Policy", REQUEST_ID],
        )
    app.add_middleware(SiteDoor, bots=edge.sites.bots)
    app.add_middleware(AddressDoor, limits=edge.limits)
    app.add_middleware(RequestShape)
    app.add_middleware(AuditDoor, desk=edge.bus.audit)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(ForwardedHeaders, trusted=Networks(edge.settings.gateway_trusted_proxies))
