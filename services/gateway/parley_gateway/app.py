"""The edge as one ASGI application."""

from fastapi import FastAPI
from parley_messaging.service import package_version
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from parley_gateway import (
    admin_api,
    auth_api,
    bots_api,
    collections_api,
    conversations_api,
    documents_api,
    embeddings_api,
    feedback_api,
    health_api,
    keys_api,
    openai_api,
    pages,
    search_api,
    session_api,
    site_chat_api,
)
from parley_gateway.body_limit import BodyLimit
from parley_gateway.chat_socket import ChatSocket
from parley_gateway.edge import CurrentEdge, CurrentPrincipal, Edge
from parley_gateway.http_errors import SECURITY_HEADERS, install_error_handlers
from parley_gateway.site_door import SiteDoor


class SecurityHeaders:
    """Adds the headers that every HTTP response carries."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


async def serve_socket(socket: WebSocket, edge: CurrentEdge, principal: CurrentPrincipal) -> None:
    """Serve one client's WebSocket."""
    await socket.accept()
    chat = ChatSocket(
        socket, principal, edge.door, edge.stopper, outbox_bytes=edge.settings.gateway_outbox_bytes
    )
    with edge.sockets.serving(chat):
        await chat.run()


def create_app(edge: Edge) -> FastAPI:
    """Return the application with all its routes."""
    app = FastAPI(
        title="Parley",
        version=package_version("gateway"),
        docs_url=None,
        redoc_url=None,
    )
    app.state.edge = edge
    for module in (
        openai_api,
        embeddings_api,
        health_api,
        session_api,
        auth_api,
        admin_api,
        keys_api,
        bots_api,
        site_chat_api,
        conversations_api,
        collections_api,
        documents_api,
        search_api,
        feedback_api,
        pages,
    ):
        app.include_router(module.router)
    app.router.routes.extend(edge.service.probe_routes())
    app.add_api_websocket_route("/ws", serve_socket)
    pages.mount_files(app)
    install_error_handlers(app)
    app.add_middleware(
        BodyLimit, doorkeeper=edge.doorkeeper, max_upload_bytes=edge.settings.gateway_max_upload_bytes
    )
    # Before the body is asked for: which page asks which bot.
    app.add_middleware(SiteDoor, bots=edge.sites.bots)
    app.add_middleware(SecurityHeaders)
    return app
