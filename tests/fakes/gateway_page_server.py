"""A stand-in gateway for the chat page: the page's files under its real CSP, and scripted answers."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from parley_contracts.client_frames import (
    CLIENT_FRAME,
    CancelAccepted,
    CancelTurnFrame,
    ErrorFrame,
    Pong,
    ResumeTurnFrame,
    StartTurnFrame,
    TurnAccepted,
)
from parley_contracts.errors import HTTP_STATUS, ErrorCode
from parley_contracts.model import WireModel
from parley_contracts.turn_events import frame_type
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.fakes.gateway_page_turns import Script, ScriptedTurn

PAGE = Path(__file__).parents[2] / "services/gateway/parley_gateway/page"
KEY = "pk-local+key/with=signs"
CODE = "a-code_of-a-link"
COOKIE = "parley_session"
SLOW_VERDICT_S = 0.5
ASKED_WITHIN_S = 20.0
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass
class StandInState:
    """What the stand-in knows; tests read and change it."""

    scripts: dict[str, Script] = field(default_factory=dict[str, Script])
    turns: dict[str, ScriptedTurn] = field(default_factory=dict[str, ScriptedTurn])
    titles: dict[str, str] = field(default_factory=dict[str, str])
    messages: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])
    passages: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    documents: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    verdicts: dict[tuple[str, int], str] = field(default_factory=dict[tuple[str, int], str])
    was_judged_bad: asyncio.Event = field(default_factory=asyncio.Event)
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    unrated: set[int] = field(default_factory=set[int])
    collections: dict[str, int] = field(default_factory=lambda: {"parley-docs": 14})
    frames: list[Any] = field(default_factory=list[Any])
    sockets: set[WebSocket] = field(default_factory=set[WebSocket])
    requires_login: bool = False
    provider_label: str | None = None
    is_refusing_sockets: bool = False
    is_memory_late: bool = False
    messages_a_page: int = 100
    copies_of_frames: int = 1
    deltas_to_lose: int = 0

    async def turn(self, question: str) -> ScriptedTurn:
        """Return the latest turn that asked `question`, as soon as one does."""
        async with asyncio.timeout(ASKED_WITHIN_S):
            while True:
                for turn in reversed(self.turns.values()):
                    if turn.frame.text == question:
                        return turn
                self.was_asked.clear()
                await self.was_asked.wait()

    async def drop_sockets(self) -> None:
        """Close every socket, as a gateway that goes away."""
        for websocket in list(self.sockets):
            await websocket.close(1012)


class StandInGateway:
    """HTTP and WebSocket handlers over a `StandInState`."""

    def __init__(self, state: StandInState, tasks: asyncio.TaskGroup) -> None:
        self.state = state
        self.tasks = tasks
        self.writers: dict[str, asyncio.Task[None]] = {}

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self.page),
                Route("/login", self.page),
                Route("/page/{file}", self.page),
                Route("/api/auth/session", self.log_in, methods=["POST"]),
                Route("/api/auth/oidc/provider", self.provider),
                Route("/api/conversations", self.conversations),
                Route("/api/conversations/{id}", self.conversation, methods=["GET", "PATCH", "DELETE"]),
                Route("/v1/models", self.models),
                Route("/api/collections", self.collections),
                Route("/api/documents", self.upload, methods=["POST"]),
                Route("/api/documents/{id}", self.document),
                Route("/api/documents/{id}/passage", self.passage),
                Route("/api/feedback", self.feedback, methods=["GET", "POST"]),
                Route("/api/feedback/{turn_id}/{n:int}", self.take_back, methods=["DELETE"]),
                WebSocketRoute("/ws", self.socket),
            ]
        )

    async def page(self, request: Request) -> Response:
        names = {"/": "chat.html", "/login": "login.html"}
        name: str = names.get(request.url.path) or request.path_params["file"]
        path = PAGE / name
        if not path.is_file():
            return problem(ErrorCode.NOT_FOUND, "There is no such file.")
        headers = {"Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff"}
        return FileResponse(path, headers=headers)

    async def log_in(self, request: Request) -> Response:
        if await request.json() not in ({"key": KEY}, {"code": CODE}):
            return problem(ErrorCode.UNAUTHENTICATED, "This key is not known.")
        response = JSONResponse({})
        response.set_cookie(COOKIE, "yes", httponly=True, samesite="strict")
        return response

    async def provider(self, _: Request) -> Response:
        return JSONResponse({"label": self.state.provider_label})

    def may_enter(self, connection: Request | WebSocket) -> bool:
        return not self.state.requires_login or COOKIE in connection.cookies

    async def conversations(self, request: Request) -> Response:
        if not self.may_enter(request):
            return problem(ErrorCode.UNAUTHENTICATED, "Log in first.")
        found = [
            {"id": id_, "title": title, "created_at_ms": 0, "updated_at_ms": 1_700_000_000_000, "turns": 1}
            for id_, title in reversed(self.state.titles.items())
        ]
        return JSONResponse({"conversations": found, "next_cursor": None})

    async def conversation(self, request: Request) -> Response:
        id_ = request.path_params["id"]
        if id_ not in self.state.titles:
            return problem(ErrorCode.NOT_FOUND, "There is no such conversation.")
        if request.method == "PATCH":
            self.state.titles[id_] = (await request.json())["title"]
        if request.method == "DELETE":
            del self.state.titles[id_]
            return Response(status_code=204)
        conversation = {"id": id_, "title": self.state.titles[id_], "updated_at_ms": 0, "turns": 1}
        messages = self.state.messages.get(id_, [])
        end = int(request.query_params.get("cursor", len(messages)))
        start = max(0, end - self.state.messages_a_page)
        return JSONResponse(
            {
                "conversation": conversation,
                "messages": messages[start:end],
                "next_cursor": str(start) if start else None,
            }
        )

    async def models(self, _: Request) -> Response:
        models = [{"id": "extractive", "object": "model"}, {"id": "ollama/qwen3:4b", "object": "model"}]
        return JSONResponse({"object": "list", "data": models})

    async def collections(self, _: Request) -> Response:
        found = [{"name": n, "documents": d, "chunks": d * 9} for n, d in self.state.collections.items()]
        return JSONResponse({"collections": found})

    async def upload(self, request: Request) -> Response:
        form = await request.form()
        file, collection = form["file"], form["collection"]
        if not isinstance(file, UploadFile):
            return problem(ErrorCode.INVALID_REQUEST, "file: a file is required.")
        name = file.filename or ""
        await form.close()
        if name.endswith(".exe"):
            return problem(ErrorCode.UNSUPPORTED_TYPE, "Programs cannot be read as documents.")
        id_ = f"doc-{len(self.state.documents) + 1}"
        document = {"id": id_, "name": name, "collection": collection, "status": "queued", "error": None}
        self.state.documents[id_] = {**document, "chunks": 0, "chunks_done": 0, "pages": None}
        self.state.collections[str(collection)] = self.state.collections.get(str(collection), 0) + 1
        return JSONResponse({"document": self.state.documents[id_]}, status_code=202)

    async def document(self, request: Request) -> Response:
        document = self.state.documents[request.path_params["id"]]
        if "locked" in document["name"]:
            document.update(status="failed", error="The PDF is encrypted: save it without a password.")
        elif "stopped" in document["name"]:
            document.update(status="cancelled")
        elif "box" in document["name"]:
            document.update(status="ready", members=5, error="2 of 5 could not be read.")
        elif document["chunks_done"] < 4:
            document.update(status="ingesting", chunks=4, chunks_done=document["chunks_done"] + 2)
        else:
            document.update(status="ready")
        return JSONResponse({"document": document})

    async def passage(self, request: Request) -> Response:
        passage = self.state.passages.get(request.path_params["id"])
        if passage is None:
            return problem(ErrorCode.NOT_FOUND, "There is no such document.")
        return JSONResponse(passage)

    async def feedback(self, request: Request) -> Response:
        if request.method == "POST":
            body = await request.json()
            if body["n"] in self.state.unrated:
                return problem(ErrorCode.NOT_FOUND, "That answer has no such citation.")
            if body["verdict"] == "up":
                with suppress(TimeoutError):  # who does not wait for its answer is overtaken by the next one
                    async with asyncio.timeout(SLOW_VERDICT_S):
                        await self.state.was_judged_bad.wait()
            else:
                self.state.was_judged_bad.set()
            self.state.verdicts[body["turn_id"], body["n"]] = body["verdict"]
        found = [{"turn_id": t, "n": n, "verdict": v} for (t, n), v in self.state.verdicts.items()]
        at = int(request.query_params.get("cursor", "0"))
        following = str(at + 1) if at + 1 < len(found) else None
        return JSONResponse({"feedback": found[at : at + 1], "next_cursor": following})

    async def take_back(self, request: Request) -> Response:
        if self.state.verdicts.pop((request.path_params["turn_id"], request.path_params["n"]), None) is None:
            return problem(ErrorCode.NOT_FOUND, "There is no verdict on that citation.")
        return JSONResponse({})

    async def socket(self, websocket: WebSocket) -> None:
        if self.state.is_refusing_sockets or not self.may_enter(websocket):
            await websocket.close()
            return
        await websocket.accept()
        self.state.sockets.add(websocket)
        try:
            async with asyncio.TaskGroup() as followers:
                await self.receive(websocket, followers)
        except* WebSocketDisconnect:
            pass
        finally:
            self.state.sockets.discard(websocket)

    async def receive(self, websocket: WebSocket, followers: asyncio.TaskGroup) -> None:
        """Answer frames until the client leaves: leaving raises WebSocketDisconnect."""
        while True:
            frame = CLIENT_FRAME.validate_json(await websocket.receive_text())
            self.state.frames.append(frame)
            match frame:
                case StartTurnFrame():
                    turn = self.begin(frame)
                    await send(
                        websocket, TurnAccepted(turn_id=turn.turn_id, conversation_id=turn.conversation_id)
                    )
                    followers.create_task(self.relay(websocket, turn, 0))
                case ResumeTurnFrame(turn_id=turn_id, after_seq=after_seq):
                    if turn_id in self.state.turns:
                        followers.create_task(self.relay(websocket, self.state.turns[turn_id], after_seq))
                    else:
                        await send(websocket, unknown(turn_id))
                case CancelTurnFrame(turn_id=turn_id):
                    await send(websocket, CancelAccepted(turn_id=turn_id))
                    self.writers[turn_id].cancel()
                case _:
                    await send(websocket, Pong())

    async def relay(self, websocket: WebSocket, turn: ScriptedTurn, after_seq: int) -> None:
        async for frame in turn.follow(after_seq):
            if self.state.deltas_to_lose and frame_type(frame) == "text_delta":
                self.state.deltas_to_lose -= 1
                continue
            for _ in range(self.state.copies_of_frames):
                await websocket.send_text(frame.decode())

    def begin(self, frame: StartTurnFrame) -> ScriptedTurn:
        turn_id = frame.turn_id or "unnamed"
        if turn_id in self.state.turns:
            return self.state.turns[turn_id]
        conversation_id = frame.conversation_id or f"conv-{len(self.state.titles) + 1}"
        turn = ScriptedTurn(frame, turn_id, conversation_id)
        self.state.turns[turn_id] = turn
        self.state.was_asked.set()
        self.state.titles.setdefault(conversation_id, frame.text)
        if not self.state.is_memory_late:
            self.store(turn, "user", frame.text)
        self.writers[turn_id] = self.tasks.create_task(self.write(turn))
        return turn

    async def write(self, turn: ScriptedTurn) -> None:
        try:
            await turn.take_over(keep_chars=0)
            await self.state.scripts[turn.frame.text](turn)
        except asyncio.CancelledError:
            await turn.cancel()
        if self.state.is_memory_late:
            self.store(turn, "user", turn.frame.text)
        self.store(turn, "assistant", turn.text)

    def store(self, turn: ScriptedTurn, role: str, text: str) -> None:
        message = {
            "turn_id": turn.turn_id,
            "role": role,
            "text": text,
            "outcome": turn.outcome if role == "assistant" else None,
            "citations": [c.model_dump() for c in turn.citations] if role == "assistant" else [],
            "support": turn.support if role == "assistant" else None,
            "model": None,
            "created_at_ms": 0,
        }
        self.state.messages.setdefault(turn.conversation_id, []).append(message)


async def send(websocket: WebSocket, frame: WireModel) -> None:
    await websocket.send_text(frame.model_dump_json())


def unknown(turn_id: str) -> ErrorFrame:
    return ErrorFrame(
        turn_id=turn_id, code=ErrorCode.NOT_FOUND, message="There is no such turn.", retryable=False
    )


def problem(code: ErrorCode, message: str) -> JSONResponse:
    error = {"code": code, "message": message, "retryable": False, "request_id": "r-1"}
    return JSONResponse({"error": error}, status_code=HTTP_STATUS[code])


@asynccontextmanager
async def serve_page(state: StandInState) -> AsyncGenerator[str]:
    """Serve the stand-in on a free loopback port; yield its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    async with asyncio.TaskGroup() as tasks:
        gateway = StandInGateway(state, tasks)
        config = uvicorn.Config(gateway.app(), ws="wsproto", lifespan="off", log_level="warning")
        server = uvicorn.Server(config)
        serving = tasks.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            for writer in gateway.writers.values():
                writer.cancel()
            server.should_exit = True
            server.force_exit = True
            await serving
