"""The HTTP API as the command uses it."""

import asyncio
import mimetypes
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar, cast
from urllib.parse import quote

import httpx
from parley_contracts.data_keys import DataKeyRotation
from parley_contracts.provider_keys import KekRotation
from parley_contracts.rag import Collection, CollectionList, Document, DocumentList, SearchResults
from pydantic import BaseModel, ValidationError

from parley_cli.client.access import Access
from parley_cli.exits import CliError, ExitCode, nobody_answers, tls_refused

TIMEOUT = httpx.Timeout(60.0, connect=5.0)
RETRIES = 6
FIRST_RETRY_S = 0.3
LONGEST_RETRY_S = 10.0
REFUSED_FOR_NOW = {429, 503}
NOT_FOUND_STATUS = 404
PAGE_SIZE = 1000
Json = dict[str, Any]
Read = TypeVar("Read", bound=BaseModel)
Page = TypeVar("Page", DocumentList, CollectionList)


class CountedFile:
    """A file being uploaded that tells how much of it was read."""

    def __init__(self, file: BinaryIO, read: Callable[[int], None]) -> None:
        self._file = file
        self._read = read

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._read(self._file.tell())
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()


class Gateway:
    """One open HTTP client; errors of the API become CliError."""

    def __init__(self, access: Access, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._access = access
        self._http = httpx.AsyncClient(
            base_url=access.url,
            headers=access.headers,
            timeout=TIMEOUT,
            transport=transport,
            trust_env=False,
            verify=access.tls or True,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def upload(self, path: Path, name: str, collection: str, read: Callable[[int], None]) -> Document:
        """Upload a file and return its document; `read` hears how many bytes went out."""
        content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"

        async def attempt() -> httpx.Response:
            with path.open("rb") as file:
                counted = cast("BinaryIO", CountedFile(file, read))
                return await self._http.post(
                    "/api/documents",
                    files={"file": (name, counted, content_type)},
                    data={"collection": collection},
                )

        return _document(await self._answer(attempt))

    async def document(self, document_id: str) -> Document:
        """Return a document as it stands now."""
        return _document(await self._answer(lambda: self._http.get(f"/api/documents/{_part(document_id)}")))

    async def documents(self, collection: str | None) -> list[Document]:
        """Return all documents, newest first."""
        asked = {} if collection is None else {"collection": collection}
        pages = self._pages("/api/documents", DocumentList, asked)
        return [document async for page in pages for document in page.documents]

    async def delete_document(self, document_id: str) -> None:
        """Remove a document with everything that was made of it."""
        await self._answer(lambda: self._http.delete(f"/api/documents/{_part(document_id)}"))

    async def collections(self, *, retries: int = RETRIES) -> list[Collection]:
        """Return all collections, by name."""
        pages = self._pages("/api/collections", CollectionList, {}, retries)
        return [collection async for page in pages for collection in page.collections]

    async def delete_collection(self, name: str) -> None:
        """Remove a collection with all its documents."""
        await self._answer(lambda: self._http.delete(f"/api/collections/{_part(name)}"))

    async def search(self, query: str, collection: str | None, limit: int) -> SearchResults:
        """Return the best passages, best first, and what the search had to do without."""
        question: Json = {"query": query, "limit": limit}
        if collection is not None:
            question["collection"] = collection
        return _read(SearchResults, await self._answer(lambda: self._http.post("/api/search", json=question)))

    async def health(self) -> Json:
        """Return each dependency's state."""
        return await self._answer(lambda: self._http.get("/v1/health"))

    async def rotate_kek(self, *, begins: bool) -> KekRotation:
        """Take a step of a rotation of the key-encryption key; `begins` makes it one of a new rotation."""
        body: Json = {"begins": begins}
        return _read(
            KekRotation, await self._answer(lambda: self._http.post("/api/admin/kek/rotate", json=body))
        )

    async def rotate_data_key(self) -> DataKeyRotation:
        """Have what is uploaded from now on sealed by another data key."""
        return _read(
            DataKeyRotation, await self._answer(lambda: self._http.post("/api/admin/data-key/rotate"))
        )

    async def _pages(
        self, path: str, kind: type[Page], asked: Mapping[str, str], retries: int = RETRIES
    ) -> AsyncGenerator[Page]:
        """Yield the pages of a list, from the first to the last."""
        query = {"limit": str(PAGE_SIZE), **asked}
        while True:
            page = _read(kind, await self._answer(lambda: self._http.get(path, params=query), retries))
            yield page
            if page.next_cursor is None:
                return
            query["cursor"] = page.next_cursor

    async def _answer(self, attempt: Callable[[], Any], retries: int = RETRIES) -> Json:
        """Ask until there is an answer that counts; being refused for now is asked again, a few times."""
        delay_s = FIRST_RETRY_S
        for left in range(retries, -1, -1):
            try:
                response: httpx.Response = await attempt()
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                url = self._access.url
                raise tls_refused(url, error) or nobody_answers(url) from None
            except httpx.HTTPError as error:
                if left == 0:
                    kind = type(error).__name__
                    raise CliError(f"{self._access.url} broke off ({kind}).", code="unavailable") from None
            else:
                if response.status_code not in REFUSED_FOR_NOW or left == 0:
                    return _body(response)
                delay_s = max(delay_s, _retry_after_s(response))
            await asyncio.sleep(min(delay_s, LONGEST_RETRY_S))
            delay_s *= 2
        raise AssertionError("the last attempt answers or raises")


def _part(name: str) -> str:
    """Return a name as one part of a path."""
    return quote(name, safe="")


def _retry_after_s(response: httpx.Response) -> float:
    try:
        return float(response.headers.get("Retry-After", "0"))
    except ValueError:
        return 0.0


def _document(body: Json) -> Document:
    return _read(Document, body.get("document"))


def _read(kind: type[Read], value: object) -> Read:
    """Return what an answer says, or raise CliError: whoever answered there, it was not this API."""
    try:
        return kind.model_validate(value)
    except ValidationError:
        raise CliError(f"The answer cannot be read: is that Parley's address? ({kind.__name__})") from None


def _body(response: httpx.Response) -> Json:
    """Return the JSON of an answer, or raise the error it describes."""
    try:
        body: Any = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise CliError(f"HTTP status {response.status_code} without an answer that can be read.")
    found = cast("Json", body)
    if response.is_success:
        return found
    error: Json = found["error"] if isinstance(found.get("error"), dict) else {}
    message = str(error.get("message") or f"HTTP status {response.status_code}")
    code = str(error.get("code") or "failed")
    exit_code = ExitCode.NOT_FOUND if response.status_code == NOT_FOUND_STATUS else ExitCode.FAILED
    raise CliError(message, exit_code, code=code)
