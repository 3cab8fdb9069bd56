"""An application whose routes are made once, as they are imported, and whose description tells their errors.

FastAPI's `include_router` makes every route again at the first request, a quarter of a second in which
nothing else is answered, and looks through them twice at each.
"""

from typing import Any

from fastapi import APIRouter, FastAPI

from parley_gateway.http_errors import ErrorAnswer

_MODELS = "#/components/schemas/{model}"
_ERROR = {"application/json": {"schema": {"$ref": _MODELS.format(model=ErrorAnswer.__name__)}}}
ERRORS = {
    "4XX": {"description": "Refused.", "content": _ERROR},
    "5XX": {"description": "Failed, or not available now.", "content": _ERROR},
}
"""Of every route, in the description of the API."""


class DescribedApp(FastAPI):
    """A FastAPI application that takes routes as they are."""

    def take(self, router: APIRouter) -> None:
        """Serve the routes of a router."""
        self.router.routes.extend(router.routes)

    def openapi(self) -> dict[str, Any]:
        """Return the description, with what every route answers when it refuses or fails."""
        if self.openapi_schema is None:
            _add_errors(super().openapi())
        return super().openapi()


def _add_errors(description: dict[str, Any]) -> None:
    schemas = description["components"]["schemas"]
    schema = ErrorAnswer.model_json_schema(ref_template=_MODELS)
    for fastapis in ("HTTPValidationError", "ValidationError"):
        schemas.pop(fastapis, None)
    schemas |= schema.pop("$defs") | {ErrorAnswer.__name__: schema}
    for operations in description["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"] |= ERRORS
