"""The edge of Parley (HTTP, WebSocket, SSE) and its turn runner."""
