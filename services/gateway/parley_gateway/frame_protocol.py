"""uvicorn's WebSocket protocol with one ASGI extension: many text frames in one write, without awaiting.

ASGI takes a frame a call: each passes every middleware and is a system call of its own. An application
finds the extension in `scope["extensions"][FRAMES]`.
"""

from collections.abc import Callable, Iterable

from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

FRAMES = "parley.frames"
_SHORT, _MEDIUM, _LONG = 125, 0xFFFF, 8
_TEXT = 0x81  # FIN and opcode 1; a server does not mask, and no extension is negotiated.
_HEADS = tuple(bytes((_TEXT, size)) for size in range(_SHORT + 1))


def _head(size: int) -> bytes:
    if size <= _MEDIUM:
        return b"\x81\x7e" + size.to_bytes(2, "big")
    return b"\x81\x7f" + size.to_bytes(_LONG, "big")


def _do_nothing() -> None:
    pass


class FrameProtocol(WSProtocol):
    """One connection."""

    on_writable: Callable[[], None] = staticmethod(_do_nothing)

    async def run_asgi(self) -> None:
        """Run the application with the extension in its scope."""
        extensions: dict[str, object] = self.scope.setdefault("extensions", {})  # pyright: ignore[reportAssignmentType] - ASGI's type knows no extensions of others
        extensions[FRAMES] = self
        await super().run_asgi()

    @property
    def can_write(self) -> bool:
        """Whether the client keeps up; `on_writable` is called when it does again."""
        return self.writable.is_set()

    def write_frames(self, frames: Iterable[bytes]) -> None:
        """Write text frames at once; on a closed connection they are dropped."""
        if self.close_sent or self.transport.is_closing():
            return
        parts: list[bytes] = []
        for frame in frames:
            size = len(frame)
            parts.append(_HEADS[size] if size <= _SHORT else _head(size))
            parts.append(frame)
        self.transport.write(b"".join(parts))

    def abort(self) -> None:
        """Drop the connection with what is unsent; `close` would wait for a client that reads nothing."""
        self.transport.abort()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.loop.call_later(self.close_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.on_writable()
