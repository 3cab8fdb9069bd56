"""The HTTP and WebSocket server around the application."""

import uvicorn
from parley_messaging.probes import EmbeddedServer
from starlette.types import ASGIApp

from parley_gateway.frame_protocol import FrameProtocol
from parley_gateway.settings import GatewaySettings


def create_server(app: ASGIApp, settings: GatewaySettings) -> EmbeddedServer:
    """Return a server that is not started yet.

    Frames are small and frequent: compressing each costs more than it saves.
    """
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        ws=FrameProtocol,
        ws_max_size=settings.gateway_max_frame_bytes,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        lifespan="off",
        # By then every turn has ended; what is still open is a client that does not leave.
        timeout_graceful_shutdown=3,
    )
    return EmbeddedServer(config)
