"""The chat page and the API's documentation, from files that come with the package."""

from importlib import import_module
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles

PAGE_FOLDER = Path(str(files("parley_gateway"))) / "page"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
DOCS_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:"
)

router = APIRouter(include_in_schema=False)


def _page(name: str) -> Response:
    return FileResponse(PAGE_FOLDER / name, headers={"Content-Security-Policy": PAGE_POLICY})


@router.get("/")
async def chat_page() -> Response:
    """Return the chat page; it asks for a key when there is no session."""
    return _page("chat.html")


@router.get("/login")
async def login_page() -> Response:
    """Return the page that logs a browser in."""
    return _page("login.html")


def install_docs(app: FastAPI) -> None:
    """Serve the API's documentation at /docs without any other host."""
    bundle = import_module("swagger_ui_bundle")
    app.mount("/docs/assets", StaticFiles(directory=bundle.swagger_ui_path))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:  # pyright: ignore[reportUnusedFunction] - a route
        page = get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Parley API",
            swagger_js_url="/docs/assets/swagger-ui-bundle.js",
            swagger_css_url="/docs/assets/swagger-ui.css",
            swagger_favicon_url="/page/icon.svg",
        )
        page.headers["Content-Security-Policy"] = DOCS_POLICY
        return page
