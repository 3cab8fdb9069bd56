"""The HTTP and WebSocket server around the application."""

import asyncio
import socket
import ssl

import uvicorn
from parley_messaging.probes import EmbeddedServer
from starlette.types import ASGIApp

from parley_gateway.certificate import Certificate
from parley_gateway.connection_guard import ConnectionGuard
from parley_gateway.connections import Connections
from parley_gateway.frame_protocol import FrameProtocol
from parley_gateway.http_protocol import MAX_HEADER_BYTES, HttpProtocol
from parley_gateway.networks import Networks
from parley_gateway.settings import GatewaySettings


class EdgeServer(EmbeddedServer):
    """uvicorn's server with bounds on TLS handshakes and on clients that read nothing."""

    def __init__(self, config: uvicorn.Config, guard: ConnectionGuard) -> None:
        super().__init__(config)
        self.guard = guard

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on sockets that are bound already."""
        loop = asyncio.get_running_loop()
        context: ssl.SSLContext | None = self.config.ssl

        def new_connection() -> asyncio.Protocol:
            return HttpProtocol(self.config, self.server_state, {}, loop, guard=self.guard)

        self.servers: list[asyncio.Server] = []
        for bound in sockets or ():
            _bound_stalls(bound, self.guard.stall_s)
            server = await loop.create_server(
                new_connection,
                sock=bound,
                ssl=context,
                backlog=self.config.backlog,
                ssl_handshake_timeout=self.guard.headers_s if context else None,
                ssl_shutdown_timeout=self.guard.stall_s if context else None,
            )
            self.servers.append(server)
        self.started = True


def _bound_stalls(listening: socket.socket, stall_s: float) -> None:
    """Let the system end connections whose clients take nothing of what is sent to them for so long.

    It counts what clients have read, in connections that are being closed too, and only Linux can do it.
    """
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Connections have the options of the socket that they come in by.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, round(stall_s * 1000)))


def connection_guard(settings: GatewaySettings) -> ConnectionGuard:
    """Return the bounds of connections that settings ask for."""
    uncounted = Networks(f"{settings.gateway_uncounted_hosts},{settings.gateway_trusted_proxies}")
    connections = Connections(
        total=settings.gateway_connections,
        per_host=settings.gateway_connections_per_host,
        uncounted=uncounted,
    )
    return ConnectionGuard(
        connections,
        headers_s=settings.gateway_headers_s,
        stall_s=settings.gateway_stall_s,
        frames_per_s=settings.gateway_frames_per_s,
    )


def read_certificate(settings: GatewaySettings) -> Certificate | None:
    """Return the certificate of the settings; ValueError when it cannot be used."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return Certificate(settings.tls_cert, settings.tls_key)


def create_server(
    app: ASGIApp,
    settings: GatewaySettings,
    guard: ConnectionGuard,
    certificate: Certificate | None = None,
) -> EdgeServer:
    """Return a server that is not started yet; with a certificate it speaks TLS and nothing else.

    Frames are small and frequent: compressing each costs more than it saves.
    """
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        ws=FrameProtocol,
        ws_max_size=settings.gateway_max_frame_bytes,
        ws_per_message_deflate=False,
        ssl_context_factory=(lambda _, __: certificate.context) if certificate else None,
        # ForwardedHeaders does it, for the proxies that the settings name.
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        log_config=None,
        access_log=False,
        lifespan="off",
        # By then every turn has ended; what is still open is a client that does not leave.
        timeout_graceful_shutdown=3,
    )
    return EdgeServer(config, guard)
