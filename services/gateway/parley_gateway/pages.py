"""The chat page and the API's documentation, from files that come with the package."""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI
from parley_contracts.errors import ParleyError
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from parley_gateway.edge import CurrentEdge
from parley_gateway.identity import scheme_of

PAGE_FOLDER = Path(str(files("parley_gateway"))) / "page"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# Swagger UI writes style attributes.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# The names of files stay when their content changes: without this, browsers guess how long to keep them.
CACHING = {"Cache-Control": "no-cache"}

router = APIRouter(include_in_schema=False)


class PageFiles(StaticFiles):
    """Files that browsers ask about each time, and get again only when they have changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(CACHING)
        return response


def _page(name: str, policy: str = PAGE_POLICY) -> Response:
    return FileResponse(PAGE_FOLDER / name, headers={"Content-Security-Policy": policy, **CACHING})


@router.get("/")
async def chat_page(request: Request, edge: CurrentEdge) -> Response:
    """Return the chat page, or lead who is not logged in to the log-in page."""
    try:
        await edge.doorkeeper.identify(request.method, request.headers, scheme_of(request.scope))
    except ParleyError:
        return RedirectResponse("/login", 303)
    return _page("chat.html")


@router.get("/login")
async def login_page() -> Response:
    """Return the page that logs a browser in."""
    return _page("login.html")


@router.get("/link")
async def link_page() -> Response:
    """Return the page that takes an invitation, or a link that sets a password."""
    return _page("link.html")


@router.get("/docs")
async def docs_page() -> Response:
    """Return the API's documentation, which asks no other host."""
    return _page("docs.html", DOCS_POLICY)


def mount_files(app: FastAPI) -> None:
    """Serve what the pages are made of."""
    app.mount("/page", PageFiles(directory=PAGE_FOLDER, check_dir=False))
    app.mount("/docs/assets", PageFiles(packages=[("fastapi_swagger", "resources")]))
