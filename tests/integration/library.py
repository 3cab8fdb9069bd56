"""A few documents that tests ask about, uploaded and followed until they are ready."""

from dataclasses import dataclass
from typing import Any

import httpx

from tests.integration.stack import Stack
from tests.integration.waiting import eventually

COLLECTION = "manuals"
LIGHTHOUSE = """# The Skerry lighthouse

## Lamp

The lamp of the Skerry lighthouse burns whale oil and is lit every evening at half past six.
Its keeper trims the wick twice a night, because soot dims the beam. The beam is seen at eleven miles.

## Fog

In fog the keeper fires a small brass cannon every four minutes. Powder for the cannon is stored in the
dry cellar below the stairs, away from the oil.
"""
BAKERY = """# Notes of a bakery

Sourdough bread rests for nine hours before it is baked. The oven is heated with beech wood until its
dome turns white, which takes about two hours. Rye loaves are baked first, while the oven is hottest.
"""
DOCUMENTS = {"lighthouse.md": LIGHTHOUSE, "bakery.md": BAKERY}


@dataclass(frozen=True)
class Library:
    """Name of each document to its id."""

    collection: str
    ids: dict[str, str]


async def upload(client: httpx.AsyncClient, name: str, data: bytes, collection: str) -> httpx.Response:
    """Upload a file as a browser does."""
    return await client.post(
        "/api/documents",
        files={"file": (name, data, "application/octet-stream")},
        data={"collection": collection},
    )


async def followed(client: httpx.AsyncClient, document_id: str) -> dict[str, Any]:
    """Return a document as soon as it is ready or has failed."""
    found: dict[str, Any] = {}

    async def is_over() -> bool:
        found.update((await client.get(f"/api/documents/{document_id}")).json()["document"])
        return found["status"] in ("ready", "failed")

    await eventually(is_over, within_s=60)
    return found


async def ingest_library(stack: Stack) -> Library:
    """Upload every document and return when all are ready."""
    ids: dict[str, str] = {}
    async with stack.http() as client:
        for name, text in DOCUMENTS.items():
            response = await upload(client, name, text.encode(), COLLECTION)
            assert response.status_code == 202, response.text
            ids[name] = response.json()["document"]["id"]
        for document_id in ids.values():
            document = await followed(client, document_id)
            assert document["status"] == "ready", document
    return Library(COLLECTION, ids)
