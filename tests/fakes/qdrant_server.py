"""A Qdrant server as far as its client sees one: the REST paths that `ServerIndex` uses.

What it answers is computed by the client's own local mode, so this shows that requests and answers go over
the wire as the client writes and reads them, and not what a real server does with them. `fault` makes all
requests fail: `error500`, `error429`, `hang`, `half` (the answer breaks off), `nonsense` (it is no JSON),
`empty` (it has no result).
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from pydantic import BaseModel, ValidationError
from qdrant_client import AsyncQdrantClient, models
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Handler = Callable[[str, Request], Awaitable[Any]]
_COLLECTION = "/collections/{name}"


class QdrantFake:
    """The fake's state and its routes."""

    def __init__(self, version: str = "1.10.0") -> None:
        self.version = version
        self.fault: str | None = None
        self.payload_indexes: dict[str, Any] = {}
        self.created: dict[str, Any] = {}
        self.requests: list[str] = []
        self._store = AsyncQdrantClient(location=":memory:")

    def app(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route("/", self._root),
                self._route("GET", "/exists", self._exists),
                self._route("GET", "", self._get),
                self._route("PUT", "", self._create),
                self._route("PUT", "/index", self._create_index),
                self._route("PUT", "/points", self._upsert),
                self._route("POST", "/points", self._retrieve),
                self._route("POST", "/points/query", self._query),
                self._route("POST", "/points/delete", self._delete),
                self._route("POST", "/points/count", self._count),
                self._route("POST", "/points/scroll", self._scroll),
            ]
        )

    def _route(self, method: str, path: str, handler: Handler) -> Route:
        async def answer(request: Request) -> Response:
            self.requests.append(f"{method} {path}")
            if self.fault:
                return await _failed(self.fault)
            name = request.path_params["name"]
            try:
                if (method, path) != ("PUT", "") and path != "/exists":
                    await self._require(name)
                result = await handler(name, request)
            except LookupError:
                return _error(404, f"Not found: Collection `{name}` doesn't exist!")
            except (ValidationError, ValueError) as error:
                return _error(400, f"Format error in JSON body: {error}"[:300])
            return JSONResponse({"result": _plain(result), "status": "ok", "time": 0.001})

        return Route(f"{_COLLECTION}{path}", answer, methods=[method])

    async def _require(self, name: str) -> None:
        if not await self._store.collection_exists(name):
            raise LookupError(name)

    async def _root(self, _: Request) -> Response:
        if self.fault:
            return await _failed(self.fault)
        return JSONResponse({"title": "qdrant - vector search engine", "version": self.version})

    async def _exists(self, name: str, _: Request) -> Any:
        return {"exists": await self._store.collection_exists(name)}

    async def _get(self, name: str, _: Request) -> Any:
        return await self._store.get_collection(name)

    async def _create(self, name: str, request: Request) -> Any:
        body = models.CreateCollection.model_validate(await request.json())
        if await self._store.collection_exists(name):
            raise ValueError(f"Collection `{name}` already exists!")
        self.created[name] = body.model_dump(mode="json", exclude_none=True)
        return await self._store.create_collection(
            name, vectors_config=body.vectors, sparse_vectors_config=body.sparse_vectors
        )

    async def _create_index(self, _: str, request: Request) -> Any:
        body = models.CreateFieldIndex.model_validate(await request.json())
        self.payload_indexes[body.field_name] = _plain(body.field_schema)
        return models.UpdateResult(operation_id=1, status=models.UpdateStatus.COMPLETED)

    async def _upsert(self, name: str, request: Request) -> Any:
        body = models.PointsList.model_validate(await request.json())
        return await self._store.upsert(name, body.points)

    async def _retrieve(self, name: str, request: Request) -> Any:
        body = models.PointRequest.model_validate(await request.json())
        records = await self._store.retrieve(
            name, body.ids, with_payload=body.with_payload or False, with_vectors=body.with_vector or False
        )
        return [_plain(record) for record in records]

    async def _query(self, name: str, request: Request) -> Any:
        body = models.QueryRequest.model_validate(await request.json())
        return await self._store.query_points(
            name,
            query=body.query,
            using=body.using,
            query_filter=body.filter,
            limit=body.limit or 10,
            with_payload=body.with_payload or False,
        )

    async def _delete(self, name: str, request: Request) -> Any:
        body = models.FilterSelector.model_validate(await request.json())
        return await self._store.delete(name, body)

    async def _count(self, name: str, request: Request) -> Any:
        body = models.CountRequest.model_validate(await request.json())
        return await self._store.count(name, count_filter=body.filter)

    async def _scroll(self, name: str, request: Request) -> Any:
        body = models.ScrollRequest.model_validate(await request.json())
        points, following = await self._store.scroll(
            name,
            offset=body.offset,
            limit=body.limit or 10,
            with_payload=body.with_payload or False,
            with_vectors=body.with_vector or False,
        )
        return {"points": [_plain(point) for point in points], "next_page_offset": following}


def _plain(result: Any) -> Any:
    return result.model_dump(mode="json", exclude_none=True) if isinstance(result, BaseModel) else result


def _error(status: int, reason: str) -> Response:
    return JSONResponse({"status": {"error": reason}, "time": 0.0}, status_code=status)


async def _failed(fault: str) -> Response:
    if fault == "error500":
        return _error(500, "Service internal error: 1 of 1 read operations failed")
    if fault == "error429":
        return JSONResponse({"status": {"error": "busy"}}, status_code=429, headers={"Retry-After": "7"})
    if fault == "nonsense":
        return Response("<html>Bad gateway", media_type="text/html")
    if fault == "empty":
        return JSONResponse({"result": None, "status": "ok", "time": 0.0})
    if fault == "half":
        body = json.dumps({"result": {"points": []}, "status": "ok", "time": 0.0}).encode()
        return StreamingResponse(_half(body), headers={"Content-Length": str(len(body))})
    await asyncio.Event().wait()  # until the client has gone
    raise AssertionError


async def _half(body: bytes) -> AsyncGenerator[bytes]:
    yield body[: len(body) // 2]
